"""The model as a web page: answers as `predict` does, and refuses what it should."""

import http.client
import io
import json
import shutil
import socket
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from galaxymorph.base import BadInput
from galaxymorph.judge import GRID
from galaxymorph.report import ModelServer, load_model
from galaxymorph.report.server import server
from galaxymorph.report.server.answers import Upload
from galaxymorph.report.server.openapi import describe_server
from galaxymorph.report.server.server import MAX_BYTES, MAX_IMAGES, MAX_REQUEST
from tests.conftest import galaxymorph
from tests.makers import image_bytes, picture


@contextmanager
def serving(load, host="127.0.0.1", warnings=(), lists_similar=False):
    """Serve what `load` returns; give the server and its address on this machine."""
    served = ModelServer("a run", load, host, 0, warnings, lists_similar)
    thread = threading.Thread(target=served.run, daemon=True)
    thread.start()
    yield served.address.replace("0.0.0.0", "127.0.0.1").rstrip("/")
    served.stop()
    thread.join()


@pytest.fixture(scope="module")
def model(run):
    return load_model(run)


@pytest.fixture(scope="module")
def url(model):
    with serving(lambda: model) as url:
        yield url


def ask(url: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, named)) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_fifty_at_once_get_what_predict_says(url, run):
    test = pd.read_parquet(run / "predictions_test.parquet")
    rows = [row for _, row in test.iterrows()] * 6
    with ThreadPoolExecutor(50) as pool:
        answers = list(
            pool.map(lambda row: ask(f"{url}/predict", Path(row.image).read_bytes()), rows[:50])
        )
    for row, (status, body) in zip(rows, answers, strict=False):
        assert status == 200
        classes = json.loads(body)["classes"]
        for name, share in classes.items():
            assert share == pytest.approx(row[f"p_{name}"], abs=2e-2)


def test_a_blank_image_has_a_status_and_no_class(url):
    for path in ("predict", "explain"):
        status, body = ask(f"{url}/{path}", image_bytes(Image.new("RGB", (50, 50))))
        answer = json.loads(body)
        assert (status, answer["status"]) == (422, "blank")
        assert answer["error"].startswith("image: every pixel has the same value")


def as_form(*files: tuple[str, bytes], field: str = "image") -> tuple[bytes, str]:
    """Return what `curl -F image=@a -F image=@b` sends: the body and its Content-Type."""
    parts = [
        f'--limit\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + data
        + b"\r\n"
        for name, data in files
    ]
    return b"".join([*parts, b"--limit--\r\n"]), "multipart/form-data; boundary=limit"


def send(url: str, *files: tuple[str, bytes], **headers: str) -> tuple[int, bytes]:
    body, kind = as_form(*files)
    return ask(url, body, Content_Type=kind, **headers)


@pytest.mark.parametrize("path", ["predict", "explain"])
def test_a_file_in_a_form_is_answered_as_its_bytes_are(url, run, path):
    image = Path(pd.read_parquet(run / "predictions_test.parquet").iloc[0].image).read_bytes()
    assert send(f"{url}/{path}", ("a galaxy.jpg", image)) == ask(f"{url}/{path}", image)


def test_several_files_are_answered_in_order_and_what_cannot_be_used_says_why(url, run):
    images = [Path(p).read_bytes() for p in pd.read_parquet(run / "predictions_test.parquet").image]
    blank = image_bytes(Image.new("RGB", (50, 50)))
    files = [("a.jpg", images[0]), ("empty.png", blank), ("b.jpg", images[1]), ("x.jpg", b"words")]
    status, body = send(f"{url}/predict", *files)
    answers = json.loads(body)["images"]
    assert status == 200 and [item["image"] for item in answers] == [name for name, _ in files]
    for at, image in ((0, images[0]), (2, images[1])):
        alone = json.loads(ask(f"{url}/predict", image)[1])
        name = files[at][0]
        assert {"galaxy": Path(name).stem, "image": name, **alone} == answers[at]
    assert answers[1]["error"].startswith("empty.png: every pixel has the same value")
    assert answers[1]["status"] == "blank" and "predicted" not in answers[1]
    assert answers[3]["error"].startswith("x.jpg: not an image")
    assert send(f"{url}/explain", *files)[0] == 400


def test_several_files_as_a_table_are_the_one_that_predict_writes(url, run, tmp_path):
    test = pd.read_parquet(run / "predictions_test.parquet").image[:2]
    (tmp_path / "blank.png").write_bytes(image_bytes(Image.new("RGB", (50, 50))))
    paths = [*map(Path, test), tmp_path / "blank.png"]
    assert galaxymorph("predict", run, *paths, "-o", tmp_path / "table.csv") == 0
    # What is uploaded is looked up in no split.
    expected = pd.read_csv(tmp_path / "table.csv").drop(columns="part")
    files = [(path.name, path.read_bytes()) for path in paths]
    status, body = send(f"{url}/predict", *files, Accept="text/csv")
    table = pd.read_csv(io.BytesIO(body))
    assert status == 200 and list(table.columns) == list(expected.columns)
    assert list(table["image"]) == [path.name for path in paths]
    assert list(table["status"]) == ["ok", "ok", "blank"]
    for name in ("galaxy", "predicted"):
        assert list(table[name].fillna("")) == list(expected[name].fillna(""))
    shares = [name for name in table if name.startswith("p_")]
    np.testing.assert_allclose(table[shares], expected[shares], atol=2e-2)
    # The same fault, of a file that is named without its folder.
    assert table["error"][2] == expected["error"][2].replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(
    ("data", "kind", "status", "words"),
    [
        (b'{"url": "file:///x.jpg"}', "application/x-www-form-urlencoded", 415, "Content-Type"),
        (b' {"url": "file:///x.jpg"}', "", 415, "application/json"),
        (b"url=file:///x.jpg", "application/x-www-form-urlencoded", 415, "-F image=@"),
        (b"\xff\xd8\xff mangled", "application/x-www-form-urlencoded", 422, "-F image=@"),
        (as_form()[0], "multipart/form-data; boundary=limit", 400, "-F image=@"),
        (
            b'--limit\r\nContent-Disposition: form-data; name="image"\r\n\r\na.jpg\r\n--limit--',
            "multipart/form-data; boundary=limit",
            400,
            "with the @",
        ),
        (b"words", "multipart/form-data; boundary=limit", 400, "multipart"),
        (b"words", "multipart/form-data", 400, "boundary"),
    ],
)
def test_what_curl_sends_without_the_right_option_gets_a_line_that_helps(
    url, data, kind, status, words
):
    got, body = ask(f"{url}/predict", data, Content_Type=kind)
    assert got == status and words in json.loads(body)["error"]


def test_requests_are_limited_in_bytes_and_images(url):
    assert send(f"{url}/predict", ("a.jpg", b"\0" * (MAX_BYTES + 1)))[0] == 413
    many = [("a.jpg", b"")] * (MAX_IMAGES + 1)
    assert send(f"{url}/predict", *many)[0] == 400
    _, kind = as_form()
    message = ask(f"{url}/predict", b"", Content_Type=kind, Content_Length=str(MAX_REQUEST + 1))
    assert message[0] == 413


def test_a_body_in_chunks_is_read_and_limited(url):
    image = image_bytes(picture())

    def sent(chunks):
        line = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
        with suppress(BrokenPipeError, ConnectionResetError):
            line.request(
                "POST",
                "/predict",
                body=iter(chunks),
                encode_chunked=True,
                headers={"Transfer-Encoding": "chunked"},
            )
        return line.getresponse().status

    assert sent([image[:500], image[500:]]) == 200
    assert sent([b"\0" * 2**20] * (MAX_BYTES // 2**20 + 2)) == 413


def test_the_address_is_there_before_the_model(model, monkeypatch):
    ready = threading.Event()

    def load():
        assert ready.wait(60)
        return model

    image = image_bytes(picture())
    with serving(load) as url, ThreadPoolExecutor(1) as pool:
        assert ask(url)[0] == 200
        early = pool.submit(ask, f"{url}/predict", image)
        monkeypatch.setattr(server, "TIMEOUT", 0.2)
        with pytest.raises(urllib.error.HTTPError) as message:
            urllib.request.urlopen(urllib.request.Request(f"{url}/predict", image))
        assert message.value.code == 503 and int(message.value.headers["Retry-After"]) > 0
        assert "error" in json.loads(message.value.read())
        ready.set()
        assert early.result(60)[0] in (200, 503)
        monkeypatch.undo()
        assert ask(f"{url}/predict", image)[0] == 200


def test_a_model_that_cannot_be_loaded_ends_the_server():
    def load():
        raise BadInput("model.safetensors: damaged", "copy it again")

    served = ModelServer("a run", load, "127.0.0.1", 0)
    with pytest.raises(BadInput, match="damaged"):
        served.run()


def test_serve_refuses_what_is_no_run_and_ends_where_a_run_is_damaged(run, tmp_path, capsys):
    assert galaxymorph("serve", tmp_path, "--port", "0") == 2
    assert "http" not in capsys.readouterr().out
    broken = tmp_path / "run"
    shutil.copytree(run, broken)
    (broken / "model.safetensors").write_bytes(b"damaged")
    assert galaxymorph("serve", broken, "--port", "0") == 2
    message = capsys.readouterr()
    assert message.out.startswith("http://127.0.0.1:")
    assert "model.safetensors" in message.err.splitlines()[-1]


@pytest.mark.parametrize("host", ["nowhere.invalid", "203.0.113.7"])
def test_an_address_that_cannot_be_bound_is_refused(host):
    with pytest.raises(BadInput, match="can't be used"):
        ModelServer("a run", lambda: None, host, 0)


def test_a_port_that_is_taken_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadInput, match=f"{port}: the address can't be used"):
            ModelServer("a run", lambda: None, "127.0.0.1", port)


def deep_png() -> bytes:
    return image_bytes(Image.new("I;16", (8, 8)), "PNG")


def bomb() -> bytes:
    stream = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nothing",
        b"\xff\xd8\xff",
        image_bytes(picture())[:-200],
        deep_png(),
        bomb(),
        b"SIMPLE  = broken",
        b"\x1f\x8bbroken",
        b"%PDF-1.7",
    ],
)
def test_what_is_no_image_is_refused_in_json(url, data):
    status, body = ask(f"{url}/predict", data)
    assert status == 422
    assert "\n" not in json.loads(body)["error"]


def test_requests_that_arent_its_own_are_refused(url):
    good = image_bytes(picture())
    assert ask(f"{url}/predict", good, Origin="http://elsewhere.example")[0] == 403
    assert ask(f"{url}/predict", good, Host="elsewhere.example")[0] == 403
    assert ask(f"{url}/predict", b"", Content_Length=str(MAX_BYTES + 1))[0] == 413
    assert ask(f"{url}/predict", good, Host="[")[0] == 403
    assert ask(f"{url}/predict", b"", Content_Length="-1")[0] == 400
    assert ask(f"{url}/../../etc/passwd")[0] == 404
    assert ask(f"{url}/elsewhere", good)[0] == 404


def test_the_page_and_its_description_are_there(url, run):
    status, page = ask(url)
    assert status == 200 and b"<!doctype html>" in page
    assert b"PORT" not in page and f'image=@galaxy.jpg <span class="here">{url}/'.encode() in page
    message = json.loads(ask(f"{url}/openapi.json")[1])
    schema = message["paths"]["/predict"]["post"]["responses"]["200"]["content"]
    required = schema["application/json"]["schema"]["anyOf"][0]["required"]
    answer = json.loads(ask(f"{url}/predict", image_bytes(picture()))[1])
    assert set(required) == set(answer)


def test_signs_of_a_failed_fit_stand_on_the_page_and_in_its_description(run):
    warnings = [{"what": "it <learnt> nothing", "remedy": "more epochs"}]
    with serving(lambda: load_model(run), warnings=warnings) as address:
        page = ask(address)[1].decode()
        message = json.loads(ask(f"{address}/openapi.json")[1])
    assert "It &lt;learnt&gt; nothing. Try: more epochs." in page
    assert message["info"]["x-warnings"] == warnings


def test_an_answer_comes_with_its_evidence_and_its_likes(url, run):
    row = pd.read_parquet(run / "predictions_test.parquet").iloc[0]
    status, body = ask(f"{url}/explain", Path(row.image).read_bytes())
    look = json.loads(body)
    assert status == 200
    message = json.loads(ask(f"{url}/openapi.json")[1])["paths"]["/explain"]["post"]
    schema = message["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(look) == set(schema["properties"])
    evidence = np.array(look["evidence"])
    assert evidence.shape == (GRID, GRID) and evidence.min() >= 0 and evidence.max() == 1
    assert look["image"].startswith("data:image/jpeg")
    split = pd.read_csv(run / "split.csv", dtype=str).set_index("galaxy")
    away = [like["distance"] for like in look["similar"]]
    assert away == sorted(away)
    for like in look["similar"]:
        assert split.at[like["galaxy"], "split"] in ("train", "valid")
        assert split.at[like["galaxy"], "label"] == like["label"]
        assert like["image"].startswith("data:image/jpeg")


def test_a_galaxy_that_trained_the_run_is_not_its_own_neighbour(url, run):
    row = pd.read_csv(run / "split.csv", dtype=str).query("split == 'train'").iloc[0]
    look = json.loads(ask(f"{url}/explain", Path(row.image).read_bytes())[1])
    assert look["similar"] and look["typical_distance"] > 0
    pixels = np.asarray(Image.open(row.image))
    images = pd.read_csv(run / "split.csv", dtype=str).set_index("galaxy")["image"]
    for like in look["similar"]:
        assert like["galaxy"] != row.galaxy
        assert not np.array_equal(np.asarray(Image.open(images[like["galaxy"]])), pixels)


@pytest.fixture
def elsewhere():
    """A server of this machine that has an image, no image, and a way to elsewhere."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/away":
                self.send_response(302)
                self.send_header("Location", "http://elsewhere.example/")
                self.end_headers()
                return
            body = image_bytes(picture()) if self.path == "/galaxy.jpg" else b"words"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


def by_address(url: str, address: object) -> tuple[int, dict]:
    data = json.dumps({"url": address}).encode()
    status, body = ask(f"{url}/predict", data, Content_Type="application/json")
    return status, json.loads(body)


def test_an_image_of_this_machine_is_found_by_its_address(url, run, elsewhere, tmp_path):
    path = tmp_path / "a galaxy.jpg"
    path.write_bytes(image_bytes(picture()))
    expected = json.loads(ask(f"{url}/predict", path.read_bytes())[1])
    assert by_address(url, path.as_uri()) == (200, expected)
    assert by_address(url, f"{elsewhere}/galaxy.jpg") == (200, expected)


@pytest.mark.parametrize(
    "address",
    [
        "http://elsewhere.example/galaxy.jpg",
        "https://localhost/x",
        "ftp://localhost/x",
        "",
        "file:///nowhere/galaxy.jpg",
        "file:///dev/zero",
        "file:///etc",
        "file://elsewhere/x",
        "file:///\0",
        "http://[",
        "http://localhost:1/x",
        "http://localhost:99999/x",
        "http://user@elsewhere.example@localhost:1/x",
    ],
)
def test_other_addresses_are_refused_in_a_line(url, address):
    status, output = by_address(url, address)
    assert status == 422
    assert "\n" not in output["error"]


def test_addresses_of_this_machine_lead_nowhere_else(url, elsewhere, tmp_path):
    assert by_address(url, f"{elsewhere}/away")[0] == 422
    assert by_address(url, f"{elsewhere}/words")[0] == 422
    (tmp_path / "huge.jpg").write_bytes(b"\0" * (MAX_BYTES + 1))
    status, output = by_address(url, (tmp_path / "huge.jpg").as_uri())
    assert status == 422 and "bytes" in output["error"]
    for strange in (5, None, ["file:///x"], {}):
        assert by_address(url, strange)[0] == 400
    assert ask(f"{url}/predict", b"{", Content_Type="application/json")[0] == 400


def test_where_others_can_ask_no_address_is_looked_up(model, tmp_path):
    (tmp_path / "galaxy.jpg").write_bytes(image_bytes(picture()))
    with serving(lambda: model, "0.0.0.0") as own:
        assert by_address(own, (tmp_path / "galaxy.jpg").as_uri())[0] == 403
        assert ask(f"{own}/predict", image_bytes(picture()))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/predict", "POST"),
        ("POST", "/", "GET, HEAD"),
        ("PUT", "/explain", "POST"),
        ("TRACE", "/predict", "POST"),
        ("DELETE", "/openapi.json", "GET, HEAD"),
        ("HEAD", "/explain", "POST"),
    ],
)
def test_other_methods_are_told_which_to_use(url, method, path, allowed):
    data = b"x" if method in ("PUT", "POST") else None
    request = urllib.request.Request(f"{url}{path}", data, method=method)
    with pytest.raises(urllib.error.HTTPError) as message:
        urllib.request.urlopen(request)
    assert message.value.code == 405
    assert message.value.headers["Allow"] == allowed
    body = message.value.read()
    assert body == b"" if method == "HEAD" else "\n" not in json.loads(body)["error"]


def test_what_is_no_request_is_refused_in_json(url):
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(b"\x00\xff nonsense\r\n\r\n")
        answer = line.makefile("rb").read()
    assert b'{"error": ' in answer and b"<html" not in answer.lower()


def test_nothing_that_is_sent_is_written(url, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(run.rglob("*"))
    ask(f"{url}/predict", image_bytes(picture()))
    assert sorted(run.rglob("*")) == before
    assert list(tmp_path.iterdir()) == []


def test_a_form_that_is_sent_is_not_written_either(url, monkeypatch):
    def refuse(self, *_, **__):
        raise AssertionError("written to the disk")

    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", refuse)
    large = image_bytes(picture()) + b"\0" * 2_000_000
    assert send(f"{url}/predict", ("a.jpg", large))[0] == 200


def test_a_calibrated_run_answers_with_its_prediction_set(run, tmp_path):
    own = tmp_path / "run"
    shutil.copytree(run, own)
    assert galaxymorph("calibrate", own, "--method", "temperature", "--coverage", "0.6") == 0
    model = load_model(own)
    image = pd.read_parquet(own / "predictions_test.parquet").iloc[0]
    upload = Upload({"a.jpg": Path(image.image).read_bytes()})
    answer = model.predict(upload)
    assert answer["set"] == ([] if image.set == "none" else image.set.split("|"))
    for name, share in answer["classes"].items():
        assert share == pytest.approx(image[f"calibrated_{name}"], abs=2e-2)
    message = describe_server(model, MAX_BYTES, MAX_IMAGES)["paths"]["/predict"]["post"][
        "responses"
    ]["200"]
    schema = message["content"]["application/json"]["schema"]["anyOf"][0]
    assert set(schema["properties"]) == set(answer)
    assert "set" not in load_model(run).predict(upload)
