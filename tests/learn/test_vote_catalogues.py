"""Votes of other campaigns through the command line, from the table to predictions."""

import importlib.util
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from galaxymorph import load_predictor
from galaxymorph.zoo import SCHEMAS, read_catalogue, read_votes
from galaxymorph.zoo.schema_files import schema_text
from galaxymorph.zoo.tree import broken_sums
from tests.conftest import DRAWING, RECIPE, fits_that, galaxymorph
from tests.zoo.test_votes import made_votes, write

pytestmark = pytest.mark.usefixtures("undrawn")

GALAXIES = 40
QUICK = ["--recipe", RECIPE, "--size", "32", "--batch", "8", "--epochs", "1"]


def catalogue(folder, name: str, ending: str):
    """Write votes in a schema's own columns, and noise as images, named by its own ids."""
    table = made_votes(name, GALAXIES)
    campaigns = ["-dr12", "-dr5", "-dr8"] if name == "decals_all_campaigns" else []
    for number, campaign in enumerate(campaigns):
        # A galaxy was shown in one campaign, the last in two.
        columns = [column for column in table if campaign in column]
        rows = [row for row in range(GALAXIES - 1) if row % len(campaigns) != number]
        table[columns] = table[columns].astype(float)
        table.loc[rows, columns] = np.nan
    write(table, folder / f"catalogue{ending}")
    images = folder / "images"
    images.mkdir()
    rng = np.random.default_rng(0)
    for galaxy in table[SCHEMAS[name].ids[0]]:
        pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{galaxy}.jpg")
    return folder / f"catalogue{ending}"


@pytest.mark.parametrize(
    ("name", "ending", "loss"),
    [
        ("galaxy-zoo-2", ".csv", "cross-entropy"),
        ("galaxy-zoo-2", ".fits", "dirichlet-multinomial"),
        ("galaxy-zoo-decals", ".parquet", "dirichlet-multinomial"),
        ("decals_all_campaigns", ".csv", "cross-entropy"),
    ],
)
def test_a_fit_takes_another_campaigns_table_and_answers_its_questions(
    name, ending, loss, tmp_path, monkeypatch, capsys
):
    table = catalogue(tmp_path, name, ending)
    own = tmp_path / "mine.json"
    if ending == ".parquet":
        # A user's file, which the run needs no more when it is trained.
        own.write_text(schema_text(SCHEMAS[name]).replace(f'"name": "{name}"', '"name": "mine"'))
    schema = own if own.exists() else name
    settings = ["--target", "tree", "--schema", schema, "--loss", loss, *QUICK]
    kind = "weighted" if ending == ".fits" else "counts"
    if kind == "weighted":
        settings += ["--fractions", kind]
    out = ["--out", tmp_path, "--name", "run"]
    # The figures are the slow part, and those of a tree in one campaign as in three.
    drawing = dict(DRAWING)
    if ending == ".csv":
        del drawing["draw_run"]
    if ending != ".parquet":
        # Those of votes are drawn by `interpret` below, too.
        monkeypatch.setattr("galaxymorph.report.page.draw_votes", lambda _: [])
    with fits_that(drawing):
        assert galaxymorph("fit", "--data", table, *settings, *out) == 0
    own.unlink(missing_ok=True)
    tree = SCHEMAS[name].tree
    found = pd.read_parquet(tmp_path / "run" / "predictions_test.parquet")
    assert not broken_sums(tree, found[tree.columns].to_numpy(float)).any()
    said = pd.read_csv(tmp_path / "run" / "split.csv", dtype={"galaxy": str})
    assert len(said) == GALAXIES
    first = [answer.column for at in tree.roots for answer in tree.questions[at].answers]
    assert set(said["label"]) <= set(first)
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["data"]["fractions"] == kind
    page = (tmp_path / "run" / "report.html").read_text()
    assert ("weighted vote fractions of the schema" in page) == (kind == "weighted")
    assert '"questions"' not in page and "&#34;questions" not in page
    # Likewise, and of one tree as of another.
    if ending == ".fits":
        assert galaxymorph("interpret", tmp_path / "run", "--data", table, "--most", "4") == 0
    capsys.readouterr()
    assert galaxymorph("predict", tmp_path / "run", tmp_path / "images", "--json") == 0
    assert tree.columns[-1] in capsys.readouterr().out


def test_a_model_of_another_campaign_travels(tmp_path, capsys):
    table = catalogue(tmp_path, "galaxy-zoo-decals", ".csv")
    settings = ["--target", "tree", "--schema", "galaxy-zoo-decals", *QUICK]
    assert galaxymorph("fit", "--data", table, *settings, "--out", tmp_path, "--name", "run") == 0
    run, images = tmp_path / "run", [str(path) for path in sorted((tmp_path / "images").iterdir())]
    columns = SCHEMAS["galaxy-zoo-decals"].tree.columns
    expected = load_predictor(run, "fp32").predict(images)[columns]
    # As the first files of the format were, which said nothing of the schema.
    silent = tmp_path / "silent"
    silent.mkdir()
    shutil.copy(run / "model.safetensors", silent)
    about = json.loads((run / "model.json").read_text())
    assert about.pop("schema") == "galaxy-zoo-decals"
    (silent / "model.json").write_text(json.dumps(about))
    models = [run / "model.safetensors", silent / "model.safetensors"]
    if importlib.util.find_spec("onnxruntime"):
        models.append(tmp_path / "model.onnx")
        assert galaxymorph("export", run, "--format", "onnx", "-o", models[-1]) == 0
    for model in models:
        exact = None if model.suffix == ".onnx" else "fp32"
        found = load_predictor(model, exact).predict(images)[columns]
        assert np.allclose(found, expected, atol=1e-4)
    # No label scheme is a rule on its answers, and its fractions can be calibrated.
    assert galaxymorph("calibrate", run) == 0
    record = json.loads((run / "vote_maps.json").read_text())
    assert [each["votes"] for each in record["vote_maps"]] == ["galaxy-zoo-decals-counts"]
    assert not (run / "scheme_classes.json").exists()
    five = tmp_path / "five"
    shutil.copytree(tmp_path / "images", five / "images")
    labels = pd.DataFrame({"GalaxyID": [path.stem for path in (five / "images").iterdir()]})
    labels.assign(label="smooth_round").to_csv(five / "labels.csv", index=False)
    capsys.readouterr()
    classes = f"{five},labels=label,scheme=gz2-five"
    assert galaxymorph("calibrate", run, "--also", classes) == 2
    assert "the model predicts others; give votes" in capsys.readouterr().err


def test_what_does_not_go_together_is_said_in_one_line(tmp_path, simple, capsys):
    table = catalogue(tmp_path, "galaxy-zoo-2", ".csv")
    out = ["--out", tmp_path / "runs"]
    assert galaxymorph("fit", "--data", table, "--target", "tree", *QUICK, *out) == 2
    assert "did you mean --schema galaxy-zoo-2?\n" in capsys.readouterr().err
    assert galaxymorph("fit", "--data", table, "--schema", "galaxy-zoo-2", *QUICK, *out) == 2
    assert "use --target tree" in capsys.readouterr().err
    tree = ["--target", "tree", "--schema", "galaxy-zoo-2"]
    assert galaxymorph("fit", "--data", table, *tree, "--scheme", "hubble", *QUICK, *out) == 2
    assert "leave out --scheme or --schema" in capsys.readouterr().err
    assert galaxymorph("fit", "--data", simple, "--target", "tree", "--id-column", "x", *out) == 2
    assert "column 'x' is missing" in capsys.readouterr().err
    assert galaxymorph("fit", "--data", simple, *tree, *QUICK, *out) == 2
    assert "training_solutions_rev1.csv" in capsys.readouterr().err


def test_galaxies_without_an_image_are_named_and_an_id_of_ones_own_is_taken(tmp_path, capsys):
    table = catalogue(tmp_path, "galaxy-zoo-decals", ".csv")
    votes = pd.read_csv(table)
    votes["name"] = [f"g{row}" for row in range(len(votes))]
    votes.to_csv(table, index=False)
    settings = ["--target", "tree", "--schema", "galaxy-zoo-decals", *QUICK]
    out = ["--out", tmp_path, "--id-column", "name"]
    assert galaxymorph("fit", "--data", table, *settings, *out) == 2
    assert "no image g0.jpg" in capsys.readouterr().err
    for row, image in enumerate(sorted((tmp_path / "images").iterdir())[:30]):
        shutil.move(image, tmp_path / "images" / f"g{row}.jpg")
    assert galaxymorph("fit", "--data", table, *settings, *out, "--skip-bad", "--name", "own") == 0
    rejected = pd.read_csv(tmp_path / "own" / "rejected.csv")
    assert len(rejected) == GALAXIES - 30


@pytest.mark.parametrize(
    ("name", "ending", "empty", "kinds"),
    [
        ("galaxy-zoo-decals", ".parquet", np.nan, ["counts"]),
        ("galaxy-zoo-decals", ".csv", 0, ["counts"]),
        ("galaxy-zoo-2", ".csv", np.nan, ["weighted"]),
        ("galaxy-zoo-2", ".fits", 0, ["fraction"]),
    ],
)
def test_galaxies_without_votes_are_left_out_of_what_is_learnt(
    name, ending, empty, kinds, tmp_path, monkeypatch, capsys
):
    schema = SCHEMAS[name]
    path = catalogue(tmp_path, name, ".csv")
    table = pd.read_csv(path)
    votes = [column for kind in kinds for column in schema.answer_columns(kind)]
    totals = [c for names in schema.total_columns().values() for c in names if c in table]
    table = table[[schema.ids[0], *votes, *(totals if kinds == ["counts"] else [])]]
    table = table.astype(dict.fromkeys(table.columns[1:], float))
    table.loc[:9, table.columns[1:]] = empty
    path.unlink()
    path = write(table, tmp_path / f"catalogue{ending}")
    monkeypatch.chdir(tmp_path)
    read = read_catalogue(path, schema=name)
    assert len(read.table) == GALAXIES - 10
    assert len(read.unvoted) == 10
    assert read.faulty_rows == 0
    assert read.problems == []
    assert galaxymorph("data", "check", path, "--schema", name, "--quick") == 0
    assert "10 galaxies without votes excluded" in " ".join(capsys.readouterr().out.split())
    if ending == ".parquet":
        settings = ["--target", "tree", "--schema", name, *QUICK]
        assert galaxymorph("fit", "--data", path, *settings, "--out", ".", "--name", "run") == 0
        assert "10 galaxies without votes excluded" in capsys.readouterr().err
        split = pd.read_csv("run/split.csv", dtype={"galaxy": str})
        assert len(split) == GALAXIES - 10
        assert set(split["galaxy"]) == set(read.table["galaxy"])
        assert (read.table[schema.tree.columns[:3]].sum(axis=1) > 0.99).all()
        rejected = pd.read_csv("run/rejected.csv", dtype=str)
        assert rejected["what"].tolist() == ["nobody voted on the first question"] * 10


def test_skip_bad_sets_every_bad_row_of_a_vote_catalogue_aside_by_name(
    tmp_path, monkeypatch, capsys
):
    path = catalogue(tmp_path, "galaxy-zoo-decals", ".csv")
    table = pd.read_csv(path).astype(object)
    table.loc[1, "iauname"] = table.loc[0, "iauname"]
    table.loc[3, "iauname"] = None
    table.loc[4, "bar_no"] = -1
    table.loc[5, "bar_no"] = "many"
    table.loc[6, "smooth-or-featured_total-votes"] += 1
    table.loc[7, "bar_no"] = None
    table.to_csv(path, index=False)
    monkeypatch.chdir(tmp_path)
    check = ["data", "check", path, "--schema", "galaxy-zoo-decals", "--quick"]
    assert galaxymorph(*check) == 2
    out = capsys.readouterr().out
    for row, words in (
        (2, "doubled iauname J0000, again in row 3"),
        (3, "doubled iauname J0000, first in row 2"),
        (5, "iauname is empty"),
        (6, "bar_no is -1, not a number of votes"),
        (7, "bar_no is 'many', not a number"),
        (8, "smooth-or-featured_total-votes is 41, but its answers have 40 votes"),
        (9, "bar_no is nan, but other answers have a value"),
    ):
        assert f"row {row}: {words}" in out
    assert galaxymorph(*check, "--skip-bad") == 0
    assert len(pd.read_csv("rejected.csv")) == 7
    assert len(read_catalogue(path, schema="galaxy-zoo-decals").table) == GALAXIES - 7


def test_names_near_the_expected_ones_are_suggested(tmp_path, capsys):
    path = catalogue(tmp_path, "galaxy-zoo-decals", ".csv")
    sound = pd.read_csv(path)
    sound = sound[[name for name in sound if not name.endswith(("_fraction", "_debiased"))]]
    renamed = sound.rename(columns=lambda name: name.replace("_", "-dr5_", 1))
    unlike = sound.rename(columns=lambda name: name.replace("_", "-x_", 1))
    for table, arguments, words in (
        (renamed, ["--schema", "galaxy-zoo-2"], "did you mean --schema decals_dr5?"),
        (renamed, [], "did you mean --schema decals_dr5?"),
        (renamed, ["--schema", "galaxy-zoo-decals"], "did you mean --schema decals_dr5?"),
        (unlike, ["--schema", "galaxy-zoo-decals"], "here smooth-or-featured-x_smooth"),
        (sound, [], "did you mean --schema galaxy-zoo-decals?"),
        (
            sound.rename(columns={"bar_no": "bar-no"}),
            ["--schema", "galaxy-zoo-decals"],
            "column 'bar_no' is missing; schema galaxy-zoo-decals needs it for counts; did you "
            "mean 'bar-no'?",
        ),
        (
            sound.rename(columns={"iauname": "iau_name"}),
            ["--schema", "galaxy-zoo-decals"],
            "give the column of galaxy ids with --id-column: did you mean 'iau_name'?",
        ),
        (
            sound.assign(label="a"),
            ["--labels-column", "labels", "--id-column", "iauname"],
            "column 'labels' is missing; did you mean label?",
        ),
        (
            sound.assign(label="a"),
            ["--labels-column", "label"],
            "column 'GalaxyID' is missing; did you mean --id-column iauname?",
        ),
    ):
        table.to_csv(path, index=False)
        assert galaxymorph("data", "check", path, *arguments) == 2
        error = capsys.readouterr().err
        assert words in error
        assert len(error.splitlines()) == 1


def test_the_real_tables_are_read_or_refused_with_what_to_type(real, tmp_path, capsys):
    hart = read_catalogue(real / "galaxy-zoo-2" / "gz2_hart16.csv", schema="galaxy-zoo-2")
    assert (len(hart.table), hart.problems, hart.unvoted) == (547, [], [])
    tables = real / "vote-tables"
    main = read_votes(tables / "galaxy_zoo_2_main_with_counts_288.fits")
    assert main.schema is SCHEMAS["galaxy-zoo-2"]
    assert main.kind == "counts"
    assert main.galaxy[0] == "587735348026605686"
    assert len(main.galaxy) == 288
    for name, arguments, words in (
        (
            "decals_dr5_first_question_counts_299.csv",
            ["--schema", "galaxy-zoo-decals"],
            "it has the votes of smooth-or-featured alone",
        ),
        ("zoo1_no_spectra_200.csv", [], "name the column of class names with --labels-column"),
    ):
        assert galaxymorph("data", "check", tables / name, *arguments) == 2
        assert words in capsys.readouterr().err
