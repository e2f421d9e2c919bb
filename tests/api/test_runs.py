"""A run in Python: its results, what it shows in a notebook, and that nothing is printed."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import galaxymorph as gm
from galaxymorph.base import read_json

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def own_run(run, new_folder):
    """A copy of the run, to write on."""
    folder = new_folder("api") / "run"
    shutil.copytree(run, folder)
    return gm.open_run(folder)


class Outline(HTMLParser):
    """The tags of a piece of HTML, each of which has to be closed."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.tags = [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("img", "progress"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag != "progress":
            assert self.open.pop() == tag


def test_metrics_are_those_of_the_file_with_intervals(own_run):
    record = read_json(own_run.path / "metrics.json")["test"]
    metrics = own_run.metrics
    assert metrics.part == "test"
    assert metrics.galaxies == record["galaxies"]
    score = metrics["macro_f1"]
    assert (score.value, score.low, score.high) == tuple(record["macro_f1"].values())
    assert score.better == "greater"
    assert metrics.table.loc["macro_f1", "value"] == score.value
    assert metrics.confusion.to_numpy().tolist() == record["confusion"]
    recall = metrics.tables["per_class"].loc["spiral", "recall"]
    assert recall == record["per_class"]["spiral"]["recall"]["value"]
    assert own_run.metrics_of("valid").galaxies == len(own_run.predictions("valid"))
    with pytest.raises(gm.BadInput, match="part 'training' is unknown"):
        own_run.metrics_of("training")


def test_a_run_stands_for_its_folder(own_run):
    assert Path(own_run) == own_run.path
    first = own_run.predictions("test").iloc[0]
    predictor = gm.load_predictor(own_run)
    table = predictor.predict(first["image"])
    assert table["galaxy"].tolist() == [first["galaxy"]]


def test_a_run_draws_itself(own_run):
    html = own_run._repr_html_()
    outline = Outline(html)
    metrics = own_run.metrics
    assert str(metrics["macro_f1"]) in html
    counts = [f">{count:,}<" for row in metrics.confusion.to_numpy() for count in row]
    assert all(count in html for count in counts)
    links = [attributes["href"] for tag, attributes in outline.tags if tag == "a"]
    assert links == [str(own_run.path / "report.html")]
    # No colour but translucent ones: the page may be light or dark.
    styles = [attributes.get("style", "") for _, attributes in outline.tags]
    assert not re.search(r"color:|background:(?!rgba)", " ".join(styles))
    assert repr(own_run).startswith(f"<Run {own_run.path}, ")
    assert str(metrics["macro_f1"]) in repr(own_run)


def test_an_unfinished_run_says_so(own_run, tmp_path):
    folder = tmp_path / "unfinished"
    shutil.copytree(own_run.path, folder)
    (folder / "predictions_test.parquet").unlink()
    run = gm.open_run(folder)
    assert "not finished" in repr(run)
    assert "not finished" in run._repr_html_()
    with pytest.raises(gm.BadInput, match="the fit isn't finished"):
        _ = run.metrics


@pytest.mark.usefixtures("unrefreshed")
def test_an_analysis_draws_its_figures(own_run):
    result = own_run.calibrate(coverage=0.8)
    assert result.record["sets"]["coverage"] == 0.8
    assert read_json(result.path)["sets"]["coverage"] == 0.8
    outline = Outline(result._repr_html_())
    images = [attributes for tag, attributes in outline.tags if tag == "img"]
    assert len(images) == len(result.figures) > 0
    assert all(each["src"].startswith("data:image/webp;base64,") for each in images)
    assert all(len(each["alt"]) > 10 for each in images)


@pytest.mark.usefixtures("unrefreshed")
def test_figures_have_formats_for_one_call(own_run):
    pictures = own_run.interpret(most=2, figures="svg").figures
    assert all(path.with_suffix(".svg").exists() for path in pictures if path.suffix == ".png")
    for path in pictures:
        path.with_suffix(".svg").unlink()
    again = own_run.interpret(most=2).figures
    assert not any(path.with_suffix(".svg").exists() for path in again)


def test_the_learner_is_trained(own_run, monkeypatch):
    learn = own_run.learner()
    with learn.no_bar(), learn.no_logging():
        probabilities, targets = learn.get_preds()
    table = own_run.predictions("valid")
    columns = [f"p_{name}" for name in own_run.classes]
    # Predictions of a run average its views; its learner's are of whatever the recipe says, too.
    assert np.allclose(probabilities.numpy(), table[columns].to_numpy(), atol=0.02)
    assert [own_run.classes[at] for at in targets] == table["label"].tolist()


def test_arrays_and_images_in_memory_are_predicted(own_run):
    path = own_run.predictions("test")["image"].iloc[0]
    image = Image.open(path)
    of_file = own_run.predict(path, drift=False)
    for given in (image, np.asarray(image), [image]):
        table = own_run.predict(given)
        assert table["predicted"].tolist() == of_file["predicted"].tolist()
        assert np.allclose(table.filter(like="p_"), of_file.filter(like="p_"), atol=1e-5)
    with pytest.raises(gm.BadInput, match="output: images in memory don't have it"):
        own_run.predict(image, output="x.csv")
    with pytest.raises(gm.BadInput, match="use predict_catalogue"):
        gm.predict(own_run, path, output="folder/")


def test_calls_without_images_or_runs_are_told_in_one_line(own_run, simple, tmp_path):
    image = next((simple / "images_training_rev1").glob("*.jpg"))
    for call in (
        lambda: gm.predict(images=[]),
        lambda: own_run.predict([]),
        lambda: own_run.predict(iter([])),
        lambda: gm.predict(images=[], output=tmp_path / "none.csv", format="kaggle"),
        lambda: own_run.triage([], tmp_path / "triage"),
    ):
        with pytest.raises(gm.BadInput, match="^no images are given; check the list"):
            call()
    with pytest.raises(gm.BadInput, match="no runs are given"):
        gm.predict([], image)
    for given in (str(image), image, image.parent, [image, image]):
        with pytest.raises(gm.BadInput, match="is taken for the run, .*; give images=$"):
            gm.predict(given)
    with pytest.raises(gm.BadInput, match="the first argument is the run; give images=$"):
        gm.predict(Image.open(image))
    with pytest.raises(gm.BadInput, match="^no images are given; give images=$"):
        own_run.predict(None)


def test_adapting_to_images_without_a_galaxy_is_told_in_one_line(own_run, tmp_path):
    Image.new("RGB", (60, 60)).save(tmp_path / "black.png")
    with pytest.raises(gm.BadInput, match="adapt: no image shows a galaxy"):
        own_run.predict(tmp_path / "black.png", adapt=True)


def test_two_runs_are_compared(own_run, run, tmp_path):
    comparison = own_run.compare(run, output=tmp_path / "side.csv")
    assert len(comparison.runs) == 2
    assert set(pd.read_csv(tmp_path / "side.csv")["run"]) == {str(own_run.path), str(run)}
    Outline(comparison._repr_html_())


def test_a_server_answers_while_the_notebook_goes_on(own_run):
    import urllib.request

    server = gm.serve(own_run, port=0)
    try:
        with urllib.request.urlopen(server.address, timeout=30) as answer:
            assert answer.status == 200
        assert server.address in server._repr_html_()
    finally:
        server.stop()
        server.wait()


def test_a_model_that_cannot_be_served_is_told_by_the_call(own_run, tmp_path):
    broken = tmp_path / "run"
    shutil.copytree(own_run.path, broken)
    (broken / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(gm.BadInput, match="damaged"):
        gm.serve(broken, port=0)


SCRIPT = """
import logging, signal, sys
import galaxymorph as gm
assert not {"torch", "fastai", "pandas", "numpy"} & set(sys.modules)
import galaxymorph.report as reports
before = signal.getsignal(signal.SIGTERM)
first = gm.fit(sys.argv[1], recipe=sys.argv[2], name="a", size=32, batch=16, epochs=1)
# Their figures are drawn with the first, and by `calibrate`.
reports.draw_run = reports.write_report = lambda *_: None
second = gm.fit(sys.argv[1], recipe=sys.argv[2], name="b", size=32, batch=16, epochs=1)
assert signal.getsignal(signal.SIGTERM) is before
assert not logging.getLogger("galaxymorph").handlers
# The same recipe and seed, in one process: the same predictions.
assert first.predictions().equals(second.predictions())
gm.predict(first, first.predictions()["image"].tolist()[:2], drift=False)
comparison = gm.compare(first, second)
gm.check(sys.argv[1])
first.calibrate()
"""


def test_functions_print_nothing_and_can_be_called_again(simple, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, script, simple, ROOT / "tests" / "quick.json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=None,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("warning:")]
    # What is left are lines of progress, each with a rate.
    assert all(re.search(r"\d/\d.*/s", line) for line in lines), lines
