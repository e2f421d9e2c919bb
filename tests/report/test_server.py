"""The model as a web page: answers as `predict` does, and refuses what it should."""

import io
import json
import shutil
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

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
        b"SIMPLE  = broken", b"\x1f\x8bbroken", image_bytes(picture(), "GIF"),
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
