"""Figures: their formats, sizes, captions and words, and what the page makes of them."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from galaxymorph.base import safe_file_name
from galaxymorph.judge import (
    digests,
    nearest,
    neighbour_table,
    read_neighbours,
    uncertainty_quadrants,
    verdicts,
    whitened,
)
from galaxymorph.judge.calibration.reliability import PER_BIN, reliability_table
from galaxymorph.judge.metrics.run_metrics import interval_note
from galaxymorph.learn import Run
from galaxymorph.learn.targets.registry import TARGETS
from galaxymorph.report import draw_gallery
from galaxymorph.report.figures.attribution_figures import draw_effects, draw_maps
from galaxymorph.report.figures.embedding_figure import draw_map
from galaxymorph.report.figures.panels import legend_below
from galaxymorph.report.figures.pictures import Picture, encode_pictures, read_picture
from galaxymorph.report.figures.run_figures import confusion_figure
from galaxymorph.report.figures.schema_figure import draw_schema
from galaxymorph.report.figures.style import COLUMN, DPI, PAGE, STYLE, write_figure
from galaxymorph.report.figures.uncertainty_figures import volunteers_figure
from galaxymorph.report.metric_tables import score_name
from galaxymorph.report.tables import print_rows
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE
from tests.conftest import galaxymorph


@pytest.fixture
def copied(run, tmp_path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copied"))


def test_figures_come_in_vector_formats_at_a_journals_sizes_with_their_captions(copied, capsys):
    assert galaxymorph("report", copied, "--figures", "pdf,svg") == 0
    for name in ("learning_curves", "confusion_test", "scores_by_class"):
        png = copied / "figures" / f"{name}.png"
        with Image.open(png) as image:
            assert round(image.width / DPI, 2) in (COLUMN, PAGE)
            caption = image.info["Description"]
        assert caption.endswith(".") and caption[0].isupper() and "_" not in caption
        assert png.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert caption[:40] in png.with_suffix(".svg").read_text()
    # A figure that is drawn again leaves no old version of itself beside it.
    stale = copied / "figures" / "learning_curves.pdf"
    stale.write_bytes(b"old")
    assert galaxymorph("report", copied) == 0
    assert stale.read_bytes().startswith(b"%PDF")
    assert not (copied / "figures" / "robustness.pdf").exists()


def test_drawing_leaves_pyplot_as_the_user_had_it(tmp_path):
    before = plt.get_backend()
    try:
        plt.switch_backend("svg")
        own = plt.figure()
        drawn = draw_schema(GALAXY_ZOO_CHALLENGE, "The tree")
        assert plt.get_fignums() == [own.number]
        assert write_figure(tmp_path / "tree.png", drawn, "The tree.").exists()
        assert plt.get_backend() == "svg"
    finally:
        plt.close("all")
        plt.switch_backend(before)


@pytest.mark.parametrize("formats", ["bmp", "pdf,tiff", ""])
def test_an_unknown_format_is_refused_before_anything_is_drawn(copied, capsys, formats):
    assert galaxymorph("report", copied, "--figures", formats) == 2
    assert "use png, pdf, svg" in capsys.readouterr().err


def test_a_page_uses_its_bytes_and_names_what_it_leaves_out(tmp_path):
    pictures = []
    for at in range(4):
        noise = np.random.default_rng(at).integers(0, 255, (600, 1500, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"figure_{at}.png")
        pictures.append(read_picture(tmp_path / f"figure_{at}.png"))
    assert [item.caption for item in pictures] == [f"Figure {at}." for at in range(4)]
    encode_pictures(pictures, 300_000)
    sizes = [len(item.uri) for item in pictures]
    assert sum(sizes) <= 300_000 and sizes[0] > 0
    encode_pictures(pictures, 50_000_000)
    assert all(item.uri for item in pictures)


def test_no_gallery_says_nan(run, tmp_path, monkeypatch):
    output = []
    monkeypatch.setattr(
        "galaxymorph.report.figures.contact_sheets.label_image",
        lambda axes, lines, *_: output.extend(lines),
    )
    table = Run(run).predictions("test").head(2)
    votes = table.assign(
        answer_words="How many arms? two",
        volunteers=[np.nan, 0.5],
        model=[0.25, np.nan],
        loss=np.nan,
    )
    draw_gallery(Run(run), tmp_path / "votes.png", votes, "Votes")
    draw_gallery(Run(run), tmp_path / "classes.png", table.assign(share=np.nan), "Classes")
    assert not any("nan" in line for line in output)
    assert "volunteers not asked, model" in " ".join(output)


@pytest.mark.parametrize(
    "names",
    [["a", "b", "c", "d"], ["galaxies with a bar and tightly wound arms"] * 5, ["long " * 30] * 2],
)
def test_a_legend_is_within_its_figure(names):
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(COLUMN, 4.0))
        axes = figure.subplots()
        for number, name in enumerate(names):
            axes.scatter([0], [0], label=f"{name} ({number})")
        legend_below(figure, 3)
        figure.draw_without_rendering()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y0 >= 0
    assert [text.get_text().split() for text in legend.get_texts()] == [
        f"{name} ({number})".split() for number, name in enumerate(names)
    ]


def test_galaxies_of_no_quadrant_are_in_the_legend():
    model, volunteers = np.array([[1.0, 4, 4, 1, 2.5, 1.5], [1.0, 4, 1, 4, 2.5, 1.6]])
    agree = np.array([True, True, True, True, True, False])
    marked = uncertainty_quadrants(model, volunteers, agree)
    figure, _ = volunteers_figure(model, volunteers, "views", marked)
    words = " ".join(text.get_text() for text in figure.legends[0].get_texts())
    numbers = [int(number) for number in re.findall(r"\((\d)\)", words)]
    assert len(numbers) == 5 and sum(numbers) == len(model)
    assert numbers[-1] and "they disagree" in words


@pytest.fixture
def drawn(monkeypatch) -> list:
    """What figures are written, with their captions."""
    pairs = []
    for name in ("contact_sheets", "embedding_figure", "attribution_figures"):
        monkeypatch.setattr(
            f"galaxymorph.report.figures.{name}.write_figure",
            lambda path, figure, caption: pairs.append((figure, caption)),
        )
    return pairs


@pytest.mark.parametrize(
    "title", ["Largest losses", "Volunteers: a bar and arms, model: round " * 4]
)
def test_a_gallery_tells_its_loss_and_has_its_title_within_the_page(run, tmp_path, drawn, title):
    table = Run(run).predictions("test").head(2)
    draw_gallery(Run(run), tmp_path / "top.png", table.assign(loss=1.0), title)
    draw_gallery(Run(run), tmp_path / "others.png", table, title)
    (figure, _), (other, _) = drawn
    words, others = ([text.get_text() for text in each.texts] for each in (figure, other))
    assert any(words.startswith("The loss is the loss function of the fit (") for words in words)
    assert not any("loss function" in words for words in others)
    assert words[0].split()[: len(title.split())] == title.split()
    for text in figure.texts:
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width
        assert box.y0 >= 0 and box.y1 <= figure.bbox.height


def test_a_map_tells_how_many_galaxies_it_shows(tmp_path, drawn):
    table = pd.DataFrame({"answer": ["edge_on", "spiral"] * 20})
    words = {"edge_on": "edge on", "spiral": "spiral"}
    black = np.zeros((4, 4, 3), np.uint8)
    model = SimpleNamespace(
        answers=list(words), words=words, table=table, picture=lambda row: black
    )
    where = np.random.default_rng(0).normal(size=(40, 2))
    draw_map(tmp_path / "map.png", model, np.arange(40), where, np.array([0.4, 0.3]))
    ((figure, caption),) = drawn
    left, right = figure.axes
    assert 0 < len(left.images) < 40
    assert "of 40 galaxies" in caption and f"left {len(left.images)} of them" in caption
    assert len(right.get_xticks()) and "40% of the variance" in right.get_xlabel()
    assert "variance" not in left.get_xlabel()


def test_effects_have_a_labelled_axis(tmp_path, drawn):
    score = {"value": 0.1, "low": 0.0, "high": 0.2}
    row = {"change": "mirrored", "changed": score, "distance": score, "galaxies": 9}
    draw_effects(tmp_path / "effects.png", [row], "change", "Dependence")
    ((figure, _),) = drawn
    assert "95 % intervals" in figure.axes[0].get_xlabel()


@pytest.mark.parametrize("n", [10, 41, 200, 2000])
def test_bins_of_a_reliability_diagram_hold_galaxies_enough(n):
    rng = np.random.default_rng(n)
    first = rng.uniform(0.5, 1, n)
    # Many are equally sure, as after isotonic calibration.
    first[: n // 3] = 1.0
    table = reliability_table(np.column_stack([first, 1 - first]), rng.integers(0, 2, n))
    assert table["galaxies"].sum() == n
    assert table["galaxies"].min() >= min(n, PER_BIN) // 2
    assert len(table) <= 15


def test_the_method_that_passes_comes_first_and_faults_are_named():
    def score(value):
        return {"value": value, "low": value - 0.02, "high": value + 0.02}

    gains = {"gradcam": -0.1, "integrated-gradients": 0.3, "occlusion": 0.05}
    left = {"gradcam": 0.1, "integrated-gradients": 0.9, "occlusion": 0.2}
    result = {
        "deletion and insertion": [
            {"curve": curve, "order": method, "gain over centre first": score(gain)}
            for curve in ("deletion", "insertion")
            for method, gain in gains.items()
        ],
        "random weights": [
            {"method": method, "correlation": score(value), "dead": False}
            for method in gains
            for value in (0.5, left[method])
        ],
    }
    table = verdicts(result)
    assert [row["method"] for row in table] == ["occlusion", "integrated-gradients", "gradcam"]
    assert [row["passes"] for row in table] == [True, False, False]
    assert "hardly depend" in table[1]["verdict"] and "deletion worse" in table[2]["verdict"]
    assert verdicts({}) == []


def test_a_copy_of_an_image_is_no_neighbour_and_equal_distances_are_told():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, 16)) * 20
    embedding = np.repeat(centres, 20, axis=0) + rng.normal(size=(100, 16))
    frames = rng.integers(0, 255, (100, 3, 8, 8), np.uint8)
    frames[7] = frames[3]
    embedding[7] = embedding[3]
    pictures = digests(frames)
    near, away = nearest(embedding, pictures, 3, 6)
    assert 3 not in near and 7 not in near and (np.diff(away) >= 0).all()
    names = [str(at) for at in range(100)]
    table = neighbour_table(names, embedding, pictures)
    assert (table["galaxy"] != table["neighbour"]).all()
    assert table["alike"].all()
    # Corners of a simplex are all equally far from each other, as a few whitened rows would be.
    assert whitened(embedding[:20]).shape == (20, 2)
    far = neighbour_table(names[:20], np.eye(20), digests(np.arange(20)))
    assert not far["alike"].any()


@pytest.mark.parametrize(
    ("score", "words"),
    [
        ("test.macro_f1", "macro-F1"),
        ("test.per_class.smooth_round.f1", "F1 (smooth round)"),
        ("after.nll", "negative log-likelihood (after calibration)"),
        ("selective.kept_at_accuracy.0.95.kept", "fraction accepted (at accuracy, 0.95)"),
        ("valid.macro_f1", "macro-F1 (validation part)"),
    ],
)
def test_scores_have_words(score, words):
    assert score_name(score) == words


def test_own_labels_are_nobodys_votes(copied, capsys):
    recipe = json.loads((copied / "recipe.json").read_text())
    recipe["recipe"]["labels_column"] = "kind"
    (copied / "recipe.json").write_text(json.dumps(recipe))
    assert galaxymorph("report", copied) == 0
    text = (copied / "report.html").read_text()
    shown = re.sub(r"<details><summary>Recipe.*?</details>", "", text, flags=re.DOTALL)
    shown = re.sub(r"<(script|style).*?</\1>", "", shown, flags=re.DOTALL)
    assert '<th scope="row">schem' not in text
    card = (copied / "model-card.md").read_text()
    for words in (re.sub(r"<[^>]+>", " ", shown), card):
        assert "olunteers" not in words and "scheme" not in words and "schema" not in words
        assert "column kind" in words


def test_precision_of_a_class_that_is_never_predicted_is_unknown(copied, capsys):
    metrics = json.loads((copied / "metrics.json").read_text())
    first = next(iter(metrics["test"]["per_class"].values()))
    first["precision"] = {"value": None, "low": None, "high": None}
    (copied / "metrics.json").write_text(json.dumps(metrics))
    assert galaxymorph("report", copied) == 0
    assert "precision is unknown" in (copied / "report.html").read_text()
    assert "precision unknown" in (copied / "model-card.md").read_text()


def test_one_kind_of_probabilities_stands_on_a_page(copied, capsys):
    table = pd.read_parquet(copied / "predictions_test.parquet")
    classes = Run(copied).classes
    assert galaxymorph("calibrate", copied, "--method", "temperature") == 0
    # A calibration that turns every class into the first.
    for part in ("valid", "test"):
        path = copied / f"predictions_{part}.parquet"
        given = pd.read_parquet(path)
        for name in classes:
            given[f"calibrated_{name}"] = float(name == classes[0])
        given.to_parquet(path)
    assert galaxymorph("report", copied) == 0
    text = (copied / "report.html").read_text()
    right = (table["label"] == classes[0]).mean()
    accuracy = re.search(r'accuracy</div>\s*<div class="value">([\d.]+)', text)[1]
    assert float(accuracy) == pytest.approx(right, abs=6e-4)
    rows = json.loads(re.search(r'id="gallery-data">(.*?)</script>', text, re.DOTALL)[1])["rows"]
    known = table.set_index("galaxy")
    for row in rows:
        assert row["predicted"] == classes[0] and row["confidence"] == 1
        assert row["raw"]["predicted"] == known.at[row["galaxy"], "predicted"]
        assert row["raw"]["confidence"] == pytest.approx(
            known.at[row["galaxy"], "confidence"], abs=1e-4
        )


def test_compare_leads_with_the_paired_difference(run, copied, capsys):
    assert galaxymorph("compare", run, copied) == 0
    out = capsys.readouterr().out
    assert out.index("Test macro-F1 minus that of") < out.index("accuracy")
    assert "●" in out and "the same predictions" in out and "recall (spiral)" in out
    assert "per_class" not in out and out.count("↓  model →") == 2
    assert galaxymorph("compare", run, copied, "--all") == 0
    assert "validation part" in capsys.readouterr().out


def test_a_picture_of_the_users_keeps_to_the_page(tmp_path):
    Image.new("RGB", (4000, 100)).save(tmp_path / "wide_one.png")
    result = read_picture(tmp_path / "wide_one.png")
    assert (
        isinstance(result, Picture)
        and result.width <= PAGE * 150 + 1
        and result.caption == "Wide one."
    )
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert read_picture(tmp_path / "broken.png") is None


@pytest.mark.parametrize(
    ("target", "words"),
    [("classes", {"F1"}), ("soft3", {"F1", "divergence"}), ("tree", {"percentile"})],
)
def test_intervals_are_told_of_the_scores_that_a_target_has(target, words):
    message = interval_note(TARGETS[target])
    assert all(word in message for word in words)
    assert ("F1" in message) == (target != "tree")


def test_neighbours_of_an_earlier_version_are_read(tmp_path):
    rows = [("1", "2", 0.5), ("1", "3", 0.75), ("2", "1", 0.5)]
    table = pd.DataFrame(rows, columns=["galaxy", "neighbour", "distance"])
    table.to_parquet(tmp_path / "neighbours.parquet")
    assert read_neighbours(tmp_path) == {
        "1": [["2", 0.5, True], ["3", 0.75, True]],
        "2": [["1", 0.5, True]],
    }


def test_only_verdicts_are_passed_or_failed(capsys):
    rows = [
        {"method": "a", "dead": False, "passes": False, "signal": None, "n": 2},
        {"method": "b", "dead": True, "passes": True, "signal": 0.5, "n": 3},
    ]
    print_rows("Maps", rows)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["a", "no", "FAIL", "–", "2"] in lines
    assert ["b", "yes", "pass", "0.500", "3"] in lines


@pytest.mark.parametrize("label", ["merging/pair", "../E", "a b"])
def test_maps_of_a_class_lie_in_their_folder_whatever_its_name(tmp_path, label):
    picture = np.full((8, 8, 3), 128, np.uint8)
    table = pd.DataFrame(
        {"galaxy": ["1"], "label": [label], "answer": [label], "confidence": [0.9], "right": [True]}
    )
    subject = SimpleNamespace(
        table=table, answers=[label], words={label: label}, picture=lambda row: picture
    )
    folder = tmp_path / "explain" / "occlusion"
    (path,) = draw_maps(folder, subject, "occlusion", np.array([0]), np.ones((1, 8, 8)))
    assert path == folder / f"{safe_file_name(label)}_right.png"
    assert list(tmp_path.rglob("*.png")) == [path] and path.parent == folder
    assert "of one view, uncalibrated" in read_picture(path).caption


@pytest.mark.parametrize("number", [3, 12])
def test_long_names_of_classes_leave_room_for_the_matrix(number):
    names = [f"features_or_disk_with_a_bar_and_arms_{at}" for at in range(number)]
    counts = np.eye(number, dtype=int).tolist()
    score = {"value": 0.8, "low": 0.7, "high": 0.9}
    part = {"confusion": counts, "macro_f1": score, "galaxies": number}
    with plt.rc_context(STYLE):
        figure, _ = confusion_figure({"classes": names, "test": part}, "test", "test", "labels")
        figure.draw_without_rendering()
    (axes,) = figure.axes
    assert axes.bbox.width > 0.5 * figure.bbox.width
    box = figure.get_tightbbox()
    assert box.x0 >= -0.01 and box.x1 <= figure.get_figwidth() + 0.01
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert not any(a.overlaps(b) for a, b in zip(boxes, boxes[1:], strict=False))
