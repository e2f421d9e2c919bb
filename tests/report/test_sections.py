"""Sections of the page: a plugin's own, and a calibration without a calibrator."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from galaxymorph.learn import Run
from galaxymorph.report.metric_tables import abbreviations, bin_note, calibration_rows
from galaxymorph.report.page_content import PageContent
from galaxymorph.report.sections import SECTIONS, Section, gather_sections
from galaxymorph.report.server.markup import section_template
from tests.conftest import galaxymorph


@pytest.fixture
def copied(run, tmp_path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def test_a_section_with_a_template_of_its_own_stands_on_the_page(copied, monkeypatch):
    monkeypatch.setattr(SECTIONS, "_entries", dict(SECTIONS))
    template = "<p>{{ content.number }} < {{ title }}</p>"
    section = Section(
        "How many", ("metrics.json",), lambda page: {"number": len(page.test)}, template
    )
    SECTIONS.register("number", section)
    assert galaxymorph("report", copied) == 0
    page = (copied / "report.html").read_text()
    tested = json.loads((copied / "metrics.json").read_text())["test"]["galaxies"]
    assert f"<p>{tested} < How many</p>" in page
    assert '<a href="#number">How many</a>' in page


def test_a_section_is_left_out_without_its_files_or_content(copied, monkeypatch):
    monkeypatch.setattr(SECTIONS, "_entries", dict(SECTIONS))
    SECTIONS.register(
        "absent", Section("Absent", ("absent.json",), lambda page: {}, "<p>absent</p>")
    )
    SECTIONS.register("empty", Section("Empty", (), lambda page: None, "<p>empty</p>"))
    assert galaxymorph("report", copied) == 0
    page = (copied / "report.html").read_text()
    assert "<p>absent</p>" not in page and "<p>empty</p>" not in page


def test_a_single_bin_and_the_names_of_classes_are_told(copied, capsys):
    assert galaxymorph("calibrate", copied) == 0
    assert "fewer than 50 test galaxies there is one bin" in capsys.readouterr().out
    with Image.open(copied / "figures" / "reliability.png") as image:
        assert "there is one bin" in image.info["Description"]
    path = copied / "calibration.json"
    record = json.loads(path.read_text())
    assert record["after"]["resolution"]["value"] is None
    record["sets"]["classes"][0] = "edge_on"
    path.write_text(json.dumps(record))
    content = gather_sections(PageContent(Run(copied)), ["calibration"])["calibration"]
    page = section_template("calibration").render(content=content)
    assert "fewer than 50 test galaxies there is one bin" in page
    assert '<th scope="col" class="n">edge on</th>' in page and "edge_on" not in page
    record["after"]["resolution"]["value"] = 0.1
    assert not bin_note(record)


def test_without_a_calibrator_scores_stand_once_and_it_is_said(copied, capsys):
    assert galaxymorph("calibrate", copied, "--method", "none") == 0
    printed = capsys.readouterr().out
    assert "since no calibrator was selected" in printed
    assert " uncalibrated " in printed and " before " not in printed
    record = json.loads((copied / "calibration.json").read_text())
    rows = {name: values for name, _, values, _ in calibration_rows(record)}
    assert rows["nll"] == [record["after"]["nll"]]
    page = (copied / "report.html").read_text()
    assert '<th scope="col" class="n">uncalibrated</th>' in page
    assert '<th scope="col" class="n">before</th>' not in page


def test_a_calibrators_scores_stand_before_and_after(copied, capsys):
    assert galaxymorph("calibrate", copied, "--method", "temperature") == 0
    printed = capsys.readouterr().out
    assert " before " in printed and " after " in printed
    assert "lac: least ambiguous sets" in printed


def test_abbreviations_are_expanded():
    assert abbreviations(["nll", "accuracy"]) == "NLL: negative log-likelihood"
