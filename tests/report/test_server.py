"""The model as a web page: answers as `predict` does, and refuses what it should."""

import io
import json
import shutil
import socket
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from galaxymorph.judge import GRID
from galaxymorph.report import load_model, make_server
from galaxymorph.report.server import MAX_BYTES, openapi
from tests.conftest import galaxymorph
from tests.makers import image_bytes, picture


@pytest.fixture(scope="module")
def url(run):
    server = make_server(load_model(run), "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


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
        assert answer["error"].startswith("image 0: every pixel has the same value")


def deep_png() -> bytes:
    return image_bytes(Image.new("I;16", (8, 8)), "PNG")


def bomb() -> bytes:
    stream = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"nothing", b"\xff\xd8\xff", image_bytes(picture())[:-200], deep_png(), bomb(),
        b"SIMPLE  = broken", b"\x1f\x8bbroken", b"%PDF-1.7",
    ],
)  # fmt: skip
def test_what_is_no_image_is_refused_in_json(url, data):
    status, body = ask(f"{url}/predict", data)
    assert status == 422
    assert "\n" not in json.loads(body)["error"]


def test_requests_that_arent_its_own_are_refused(url):
    good = image_bytes(picture())
    assert ask(f"{url}/predict", good, Origin="http://elsewhere.example")[0] == 403
    assert ask(f"{url}/predict", good, Host="elsewhere.example")[0] == 403
    assert ask(f"{url}/predict", b"", Content_Length=str(MAX_BYTES + 1))[0] == 413
    assert ask(f"{url}/predict", b"", Content_Length="-1")[0] == 411
    assert ask(f"{url}/../../etc/passwd")[0] == 404
    assert ask(f"{url}/elsewhere", good)[0] == 404


def test_the_page_and_its_description_are_there(url, run):
    status, page = ask(url)
    assert status == 200 and b"<!doctype html>" in page
    described = json.loads(ask(f"{url}/openapi.json")[1])
    schema = described["paths"]["/predict"]["post"]["responses"]["200"]["content"]
    required = schema["application/json"]["schema"]["required"]
    answer = json.loads(ask(f"{url}/predict", image_bytes(picture()))[1])
    assert set(required) == set(answer)


def test_an_answer_comes_with_its_evidence_and_its_likes(url, run):
    row = pd.read_parquet(run / "predictions_test.parquet").iloc[0]
    status, body = ask(f"{url}/explain", Path(row.image).read_bytes())
    look = json.loads(body)
    assert status == 200
    described = json.loads(ask(f"{url}/openapi.json")[1])["paths"]["/explain"]["post"]
    schema = described["responses"]["200"]["content"]["application/json"]["schema"]
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


def test_a_galaxy_that_the_run_learnt_from_is_most_like_itself(url, run):
    row = pd.read_csv(run / "split.csv", dtype=str).query("split == 'train'").iloc[0]
    look = json.loads(ask(f"{url}/explain", Path(row.image).read_bytes())[1])
    assert look["similar"][0]["galaxy"] == row.galaxy
    assert look["similar"][0]["distance"] < 0.05


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
        "http://elsewhere.example/galaxy.jpg", "https://localhost/x", "ftp://localhost/x", "",
        "file:///nowhere/galaxy.jpg", "file:///dev/zero", "file:///etc", "file://elsewhere/x",
        "file:///\0", "http://[", "http://localhost:1/x", "http://localhost:99999/x",
        "http://user@elsewhere.example@localhost:1/x",
    ],
)  # fmt: skip
def test_other_addresses_are_refused_in_a_line(url, address):
    status, said = by_address(url, address)
    assert status == 422
    assert "\n" not in said["error"]


def test_addresses_of_this_machine_lead_nowhere_else(url, elsewhere, tmp_path):
    assert by_address(url, f"{elsewhere}/away")[0] == 422
    assert by_address(url, f"{elsewhere}/words")[0] == 422
    (tmp_path / "huge.jpg").write_bytes(b"\0" * (MAX_BYTES + 1))
    status, said = by_address(url, (tmp_path / "huge.jpg").as_uri())
    assert status == 422 and "bytes" in said["error"]
    for strange in (5, None, ["file:///x"], {}):
        assert by_address(url, strange)[0] == 400
    assert ask(f"{url}/predict", b"{", Content_Type="application/json")[0] == 400


def test_where_others_can_ask_no_address_is_looked_up(run, tmp_path):
    (tmp_path / "galaxy.jpg").write_bytes(image_bytes(picture()))
    server = make_server(load_model(run), "0.0.0.0", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    own = f"http://127.0.0.1:{server.server_port}"
    assert by_address(own, (tmp_path / "galaxy.jpg").as_uri())[0] == 403
    assert ask(f"{own}/predict", image_bytes(picture()))[0] == 200
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/predict", "POST"), ("POST", "/", "GET"), ("PUT", "/explain", "POST"),
        ("TRACE", "/predict", "POST"), ("DELETE", "/openapi.json", "GET"), ("HEAD", "/", "GET"),
    ],
)  # fmt: skip
def test_other_methods_are_told_which_to_use(url, method, path, allowed):
    data = b"x" if method in ("PUT", "POST") else None
    request = urllib.request.Request(f"{url}{path}", data, method=method)
    with pytest.raises(urllib.error.HTTPError) as told:
        urllib.request.urlopen(request)
    assert told.value.code == 405
    assert told.value.headers["Allow"] == allowed
    body = told.value.read()
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


def test_a_calibrated_run_answers_with_its_prediction_set(run, tmp_path):
    own = tmp_path / "run"
    shutil.copytree(run, own)
    assert galaxymorph("calibrate", own, "--method", "temperature", "--coverage", "0.6") == 0
    model = load_model(own)
    image = pd.read_parquet(own / "predictions_test.parquet").iloc[0]
    answer = model.predict(Path(image.image).read_bytes())
    assert answer["set"] == ([] if image.set == "none" else image.set.split("|"))
    for name, share in answer["classes"].items():
        assert share == pytest.approx(image[f"calibrated_{name}"], abs=2e-2)
    described = openapi(model)["paths"]["/predict"]["post"]["responses"]["200"]
    properties = described["content"]["application/json"]["schema"]["properties"]
    assert set(properties) == set(answer)
    assert "set" not in load_model(run).predict(Path(image.image).read_bytes())
