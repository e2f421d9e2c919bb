"""A run's page: whole in itself, made of what the run has, and usable in a browser."""

import base64
import hashlib
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from galaxymorph.base import BadInput
from galaxymorph.images import Rendering
from galaxymorph.learn import Run
from galaxymorph.report import Comparison
from tests.conftest import galaxymorph

WIDTHS = {"phone": 390, "desktop": 1280}


def data_of(page: Path) -> dict:
    result = re.search(r'id="gallery-data">(.*?)</script>', page.read_text(), re.DOTALL)
    return json.loads(result[1])


class Links(HTMLParser):
    """What a page would load or lead to."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found += [value for name, value in attributes if name in ("src", "href", "srcset")]


@pytest.fixture
def copied(run, tmp_path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copied"))


def test_a_fit_ends_with_a_small_page_that_loads_nothing_from_elsewhere(run):
    page = run / "report.html"
    links = Links()
    links.feed(page.read_text())
    assert links.found
    assert all(link.startswith(("#", "data:")) for link in links.found)
    assert "url(" not in page.read_text()
    assert page.stat().st_size < 5_000_000


def test_the_gallery_holds_every_test_galaxy_with_its_image_and_prediction(run):
    predictions = pd.read_parquet(run / "predictions_test.parquet").set_index("galaxy")
    rows = data_of(run / "report.html")["rows"]
    assert {row["galaxy"] for row in rows} == set(predictions.index)
    for row in rows:
        known = predictions.loc[row["galaxy"]]
        assert row["right"] == (known["label"] == known["predicted"])
        assert row["confidence"] == pytest.approx(known["confidence"], abs=1e-4)
        jpeg = base64.b64decode(row["uri"].removeprefix("data:image/jpeg;base64,"))
        assert Image.open(io.BytesIO(jpeg)).format == "JPEG"


@pytest.mark.usefixtures("unredrawn")
def test_sections_come_and_go_with_the_files_of_the_run(copied, capsys):
    assert galaxymorph("report", copied) == 0
    before = set(re.findall(r'<section id="(\w+)"', (copied / "report.html").read_text()))
    assert {"headline", "trained", "curves", "confusion", "per_class", "gallery"} <= before
    assert not {"votes", "calibration", "robustness", "explanation"} & before
    score = {"value": 0.5, "low": 0.4, "high": 0.6}
    (copied / "robustness.json").write_text(
        json.dumps(
            {
                "headline": "macro_f1",
                "clean": {"macro_f1": score},
                "severities": [1],
                "galaxies": 9,
                "corruptions": {
                    "gaussian_noise": {
                        "severities": {
                            "1": {
                                "macro_f1": score,
                                "drop": {"value": 0.123, "low": 0, "high": 0.2},
                            }
                        }
                    }
                },
            }
        )
    )
    (copied / "calibration.json").write_text(json.dumps({"after": {"ece": score}}))
    assert galaxymorph("report", copied) == 0
    text = (copied / "report.html").read_text()
    assert set(re.findall(r'<section id="(\w+)"', text)) == before | {"robustness", "calibration"}
    assert "the value on clean images minus that on corrupted ones" in text
    assert "+0.123" in text and "0.123 (0.000–0.200)" in text and "severity 1" in text


@pytest.mark.usefixtures("unredrawn")
def test_a_figure_that_two_names_fit_stands_once(copied, capsys):
    (copied / "calibration.json").write_text("{}")
    Image.new("RGB", (60, 40)).save(copied / "figures" / "risk_coverage.png")
    Image.new("RGB", (60, 40)).save(copied / "figures" / "mine.png")
    assert galaxymorph("report", copied) == 0
    text = (copied / "report.html").read_text()
    assert text.count("<figcaption>Risk coverage.") == 1
    assert text.count("<figcaption>Mine.") == 1


def test_without_images_the_gallery_says_so_and_the_rest_stands(copied, simple, capsys):
    for name in ("split.csv",):
        table = pd.read_csv(copied / name, dtype=str)
        table["image"] = "/nowhere/" + table["galaxy"] + ".jpg"
        table.to_csv(copied / name, index=False)
    table = pd.read_parquet(copied / "predictions_test.parquet")
    table.assign(image="/nowhere/1.jpg").to_parquet(copied / "predictions_test.parquet")
    assert galaxymorph("report", copied) == 0
    assert "No images." in (copied / "report.html").read_text()
    rows = data_of(copied / "report.html")["rows"]
    assert len(rows) == len(table)
    assert not any(row["uri"] for row in rows)
    assert galaxymorph("report", copied, "--data", simple) == 0
    assert all(row["uri"] for row in data_of(copied / "report.html")["rows"])


@pytest.mark.usefixtures("unredrawn")
def test_names_of_galaxies_and_files_are_text_and_no_markup(copied, capsys):
    table = pd.read_parquet(copied / "predictions_test.parquet")
    evil = "</script><script>alert(1)</script>"
    table.assign(galaxy=[evil + str(n) for n in range(len(table))]).to_parquet(
        copied / "predictions_test.parquet"
    )
    assert galaxymorph("report", copied) == 0
    assert evil not in (copied / "report.html").read_text()
    assert data_of(copied / "report.html")["rows"][0]["galaxy"].startswith(evil)


def test_the_published_result_stands_only_beside_the_same_galaxies(run):
    text = (run / "report.html").read_text()
    assert "so they are not compared" in text
    assert "published: 0.9" not in text


def test_a_gallery_keeps_to_its_budget_and_reads_past_a_missing_image(simple):
    from galaxymorph.report.figures.pictures import thumbnails

    images = sorted(map(str, (simple / "images_training_rev1").glob("*.jpg")))
    images[1] = "/nowhere.jpg"
    uris, _ = thumbnails(images, 1.0, Rendering(), 20_000)
    assert sum(map(len, uris)) <= 20_000
    assert uris[0] and not uris[1] and uris[2] and not uris[-1]


def test_several_runs_stand_side_by_side(run, copied, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert galaxymorph("compare", run, copied, "-o", page) == 0
    text = page.read_text()
    assert "2 runs compared" in text and "macro-F1" in text
    assert galaxymorph("compare", run, run, "-o", page) == 2
    assert galaxymorph("compare", run, copied, "-o", tmp_path / "none" / "page.html") == 2


def test_signs_of_a_failed_fit_stand_wherever_runs_are_compared(run, copied, tmp_path, capsys):
    metrics = json.loads((copied / "metrics.json").read_text())
    metrics["warnings"] = [{"what": "it <learnt> nothing", "remedy": "more epochs"}]
    (copied / "metrics.json").write_text(json.dumps(metrics))
    page = tmp_path / "page.html"
    for command in (["compare", run, copied], ["compare", run, copied, "-o", page]):
        assert galaxymorph(*command) == 0
        message = capsys.readouterr().err
        assert f"warning: {copied}: it <learnt> nothing. Try: more epochs" in message
    text = page.read_text()
    warned = re.findall(r'<p class="warn"><strong>Warning of (.*?)\.</strong> (.*?)</p>', text)
    assert (copied.name, "It &lt;learnt&gt; nothing. Try: more epochs.") in warned


def test_settings_without_effect_do_not_differ(copied, tmp_path):
    runs = []
    for scheme in ("layer1", "hubble"):
        record = json.loads((copied / "recipe.json").read_text())
        record["recipe"] |= {"labels_column": "kind", "scheme": scheme, "seed": len(runs)}
        runs.append(tmp_path / scheme)
        shutil.copytree(copied, runs[-1])
        (runs[-1] / "recipe.json").write_text(json.dumps(record))
    differing = dict(
        Comparison([Run(path) for path in runs], pd.DataFrame()).settings_that_differ()
    )
    assert differing == {"seed": ["0", "1"]}


@pytest.fixture(params=WIDTHS)
def page(browser, run, request):
    opened = browser.new_page(viewport={"width": WIDTHS[request.param], "height": 800})
    output = []
    opened.on("console", lambda message: output.append(message.text))
    opened.on("pageerror", lambda error: output.append(str(error)))
    opened.goto((run / "report.html").as_uri())
    yield opened
    assert output == []
    opened.close()


def test_the_page_fits_its_window(page):
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    wide = """[...document.querySelectorAll('.scroll')]
        .filter((each) => each.checkVisibility() && each.scrollWidth > each.clientWidth + 1)
        .map((each) => each.ariaLabel)"""
    assert page.evaluate(wide) == []


@pytest.mark.usefixtures("unredrawn")
def test_a_click_enlarges_a_figure(browser, run, tmp_path):
    own = tmp_path / "run"
    shutil.copytree(run, own)
    Image.new("RGB", (900, 300)).save(own / "figures" / "zz_mine.png")
    assert galaxymorph("report", own) == 0
    opened = browser.new_page(viewport={"width": 390, "height": 800})
    opened.goto((own / "report.html").as_uri())
    opened.locator(".enlarge").last.click()
    large = opened.locator("#enlarged")
    assert large.is_visible()
    assert large.locator("img").evaluate("image => image.width") == 900
    assert large.inner_text().strip() == "Zz mine."
    opened.keyboard.press("Escape")
    assert not large.is_visible()
    opened.close()


def test_filters_filter(page, run):
    predictions = pd.read_parquet(run / "predictions_test.parquet")
    wrong = predictions["label"] != predictions["predicted"]
    cards = page.locator("#galaxies li")
    assert cards.count() == len(predictions)
    page.select_option("#by-right", "wrong")
    assert cards.count() == wrong.sum()
    page.click("#reset")
    page.fill("#by-galaxy", predictions["galaxy"][0])
    assert cards.count() == 1
    page.fill("#by-galaxy", "none has this")
    assert cards.count() == 0
    assert page.inner_text("#count") == "No galaxy is so."


def test_a_cell_of_the_matrix_opens_its_galaxies(page, run):
    predictions = pd.read_parquet(run / "predictions_test.parquet")
    (label, predicted), number = next(
        iter(predictions.groupby(["label", "predicted"]).size().items())
    )
    page.click(f'button[data-label="{label}"][data-predicted="{predicted}"]')
    assert page.locator("#galaxies li").count() == number
    assert page.input_value("#by-label") == label


def test_a_galaxy_opens_steps_and_closes_by_keyboard(page):
    first = page.locator("#galaxies button").first
    first.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog#galaxy")
    assert dialog.is_visible()
    title = page.inner_text("#galaxy-title")
    assert dialog.locator("tbody tr").count() == 3
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#galaxy-title") != title
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


@pytest.mark.usefixtures("unmeasured")
def test_a_galaxy_shows_its_evidence_and_its_likes(browser, run, tmp_path):
    own = tmp_path / "run"
    shutil.copytree(run, own)
    assert galaxymorph("explain", own, "--method", "gradcam") == 0
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    output = []
    opened.on("console", lambda message: output.append(message.text))
    opened.on("pageerror", lambda error: output.append(str(error)))
    opened.goto((own / "report.html").as_uri())
    opened.locator("#galaxies button").first.click()
    assert opened.locator("#galaxy canvas").count() == 0
    opened.select_option("#heat", "gradcam")
    drawn = "canvas => canvas.getContext('2d').getImageData(0, 0, 14, 14).data.some(Boolean)"
    assert opened.locator("#galaxy canvas").evaluate(drawn)
    rows = {row["galaxy"]: row for row in data_of(own / "report.html")["rows"]}
    galaxy = opened.inner_text("#galaxy-title").removeprefix("Galaxy ")
    opened.click("#close")
    # A neighbour that the filter hides is opened all the same.
    opened.fill("#by-galaxy", galaxy)
    opened.locator("#galaxies button").first.click()
    opened.locator("#galaxy-near button").first.click()
    assert opened.inner_text("#galaxy-title") == f"Galaxy {rows[galaxy]['near'][0][0]}"
    assert output == []
    opened.close()


def test_the_model_card_says_what_the_run_is_and_how_good(run, tmp_path):
    own = tmp_path / "run"
    shutil.copytree(run, own)
    assert galaxymorph("calibrate", own, "--method", "temperature") == 0
    card = (own / "model-card.md").read_text()
    metrics = json.loads((own / "metrics.json").read_text())["test"]
    assert f"{metrics['macro_f1']['value']:.3f}" in card
    assert "Calibrated by temperature" in card
    for name in ("elliptical", "spiral", "irregular"):
        assert f"| {name} | " in card
    digest = hashlib.sha256((own / "model.safetensors").read_bytes()).hexdigest()
    assert digest in card
    assert "&#39;" not in card
    # The page was made again too.
    assert "Calibration</h2>" in (own / "report.html").read_text()


def test_a_model_that_is_judged_with_others_has_a_page_and_a_card(copied):
    # As a fold has none.
    (copied / "metrics.json").unlink()
    assert galaxymorph("report", copied) == 0
    assert "Not evaluated separately" in (copied / "model-card.md").read_text()


def test_what_was_added_stands_where_the_page_cannot_be_made(run, tmp_path, capsys, monkeypatch):
    own = tmp_path / "run"
    shutil.copytree(run, own)
    before = (own / "report.html").read_text()

    def fail(*arguments):
        raise BadInput("an image has gone", "bring it back")

    monkeypatch.setattr("galaxymorph.report.page.gather_sections", fail)
    assert galaxymorph("calibrate", own, "--method", "temperature") == 0
    assert "report: not written again (an image has gone" in capsys.readouterr().err
    assert (own / "report.html").read_text() == before
