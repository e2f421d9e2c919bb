"""Every command and every snippet of Python in the documents, carried out.

A command that costs minutes, or takes what a test hasn't, is only parsed, for the reason that
`RULES` gives. One that no rule knows fails, so that a new document can't escape.
"""

import importlib.util
import json
import re
import shlex
import shutil
import zipfile
from configparser import ConfigParser
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from PIL import Image

import galaxymorph as gm
import galaxymorph.api as galaxymorph_api
from galaxymorph.cli import cli
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE, draw_votes
from tests.conftest import NO_DRAWING, RECIPE, fits_that, galaxymorph, linked, without_drawing
from tests.zoo.test_votes import made_votes

pytestmark = pytest.mark.usefixtures("unrefreshed", "unmeasured")

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TUTORIAL = "tutorial.md"
# Their commands need those before them, so that each is a test of its own.
TUTORIALS = (TUTORIAL, "tutorial-volunteers.md")
# The runs of these are trained on votes.
SOFT = ("soft-labels.md", "how-to-votes.md")
TINY = ["--size", "32", "--batch", "16", "--epochs", "1"]
# The network of the recipe of the tests, in a fit by another recipe.
NETWORK = json.loads(RECIPE.read_text())
OTHER = [*TINY, "--arch", NETWORK["arch"], "--model-args", NETWORK["model_args"]]
OTHER += ["--weights", "none", "--unfreeze", "0", "--frozen-epochs", "0", "--folds", "2"]
SMALL = ["--recipe", str(RECIPE), *TINY]


def code(document: Path):
    """Yield language and lines of each fenced or indented block."""
    language, lines = None, []
    for line in [*document.read_text(encoding="utf-8").splitlines(), ""]:
        fence = line.lstrip().startswith("```")
        indented = language is None and line.startswith("    ")
        if indented or (language is not None and not fence):
            lines.append(line[4:] if indented else line)
            continue
        if lines:
            yield language or "", lines
            lines = []
        if fence:
            language = None if language is not None else line.strip()[3:]


def commands(document: Path) -> list[str]:
    """Return the commands of a document, each in a line, without their comments."""
    result = []
    for language, lines in code(document):
        if language not in ("", "console", "sh"):
            continue
        joined = re.sub(r" *\\\n *", " ", "\n".join(lines))
        result += [re.split(r" +# ", line)[0].strip() for line in joined.splitlines() if line]
    return result


def distinct() -> list:
    """Return document and command of each that no earlier document has, except of tutorials."""
    result = {}
    for document in DOCUMENTS:
        for command in commands(document) if document.name not in TUTORIALS else ():
            kind = document.name in SOFT
            result.setdefault((kind, command), document)
    return [
        pytest.param(document.name, command, id=f"{document.stem}: {command}"[:90])
        for (_, command), document in result.items()
    ]


class Run:
    """Carried out, with more options behind its own, which are the ones that count."""

    def __init__(self, *more: str):
        self.more = more

    def __call__(self, words: list[str]) -> None:
        assert galaxymorph(*words[2:], *self.more) == 0


class Fit(Run):
    """A fit without figures and page: those of README's, of folds and of the tutorial are drawn."""

    def __call__(self, words: list[str]) -> None:
        with fits_that(NO_DRAWING):
            super().__call__(words)


class Parse:
    """Only parsed: a name or an option that isn't there any more is found out."""

    def __init__(self, why: str):
        self.why = why

    def __call__(self, words: list[str]) -> None:
        group, rest = cli, words[2:]
        while isinstance(group, click.Group):
            group, rest = group.get_command(click.Context(group), rest[0]), rest[1:]
        group.make_context(words[2], rest)


def benchmark(words: list[str]) -> None:
    """It takes an hour or so; the options that its help has are those of the command."""
    output = (ROOT / words[1]).read_text(encoding="utf-8")
    for option in (word for word in words if word.startswith("--")):
        assert f'"{option}"' in output


def installation(words: list[str]) -> None:
    """Nothing is installed; an extra that is named exists."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    for names in re.findall(r"\[(.*?)\]", words[-1]):
        assert set(names.split(",")) <= set(extras)


def inline(words: list[str]) -> None:
    """A line of Python."""
    exec(words[2], {})


def target(words: list[str]) -> None:
    """It makes an environment; such a target exists."""
    assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def launched(words: list[str]) -> None:
    """Several processes, which `test_distributed.py` starts; what they run is parsed."""
    COSTS(words[words.index("cli.py") - 1 :])


def with_plugin(words: list[str]) -> None:
    """Registries are a process's, so `test_example_plugin.py` runs it in another."""
    assert (ROOT / words[words.index("--plugin") + 1]).is_file()


def example(words: list[str]) -> None:
    """`test_onnx_example.py` runs it, where the packages that it does without are blocked."""
    assert (ROOT / words[1]).is_file()


def elsewhere(words: list[str]) -> None:
    """Another's program, with the network, a cluster or a running server."""


COSTS = Parse("it takes minutes")
# The first rule whose pattern a command begins with; the rest of a rule says what is done.
RULES = [
    (r"python benchmarks/", benchmark),
    (r"python -c ", inline),
    (r"python docs/examples/", example),
    (r"pip install", installation),
    (r"make ", target),
    (r"python cli.py .*--plugin docs/", with_plugin),
    (r"accelerate launch ", launched),
    (r"(kaggle|dask|curl|pytest|ruff) ", elsewhere),
    (r"exports/quick-layer1-resnet18$", elsewhere),
    (r"python cli.py serve", Parse("it answers until it is stopped")),
    (r"python cli.py pretrain", COSTS),
    (r"python cli.py survey simulate .*--survey sdss --seed 7", Run("--n", "2", "--workers", "1")),
    (r"python cli.py survey simulate .*--fits", Run("--n", "1", "--workers", "1")),
    (r"python cli.py survey (simulate|show)", COSTS),
    (r"python cli.py explain .*gradcam$", Run("--limit", "3")),
    (r"python cli.py explain", COSTS),
    (r"python cli.py robustness .*published", Run()),
    (r"python cli.py robustness", COSTS),
    (r"python cli.py (reproduce|export .*int8)", COSTS),
    (r"python cli.py predict .*(--scheduler|--precision int8|model.onnx)", COSTS),
    (r"python cli.py fit .*(hf_hub:|local-dir:|ckpt|encoder/)", Parse("see `test_encoders.py`")),
    (r"python cli.py fit .*--(also|unlabelled)", Parse("`test_sources.py` has such catalogues")),
    (
        r"python cli.py fit .*(--image-column|--split-column|--test-data|mine.json)",
        Parse("`test_given_catalogue.py` and `test_vote_catalogues.py` have such catalogues"),
    ),
    (
        r"python cli.py fit --weights .*safetensors",
        Parse("`test_stored_split.py` has such weights"),
    ),
    (r"python cli.py calibrate .*--also", Parse("`test_sources.py` has such catalogues")),
    (r"python cli.py predict exports/RUN .*--votes", Parse("`test_sources.py` has such a run")),
    (r"python cli.py schema show mine.json", Parse("`schema guess` writes it")),
    (r"python cli.py predict .*-o embedded/", Parse("`embedded` is there, of another catalogue")),
    (r"python cli.py predict .*--hats", Parse("`test_hats.py` has it, where hats is installed")),
    (r"python cli.py similar ", Run("-k", "6")),
    (r"python cli.py anomalies ", Run()),
    (r"python cli.py fit --resume", Run()),
    (r"python cli.py fit .*--members 5", Fit(*SMALL, "--members", "2")),
    (r"python cli.py fit .*--frozen-epochs", Fit(*TINY, "--folds", "2", "--frozen-epochs", "1")),
    (r"python cli.py fit .*--recipe robust", Fit(*OTHER)),
    (r"python cli.py fit .*--folds 5 (--data|.*--recipe)", Fit(*OTHER)),
    (r"python cli.py fit .*--weights galaxymorph", Fit(*TINY)),
    (r"python cli.py fit .*--recipe small", Fit(*TINY)),
    (r"python cli.py fit .*--folds 5", Run(*SMALL, "--folds", "2")),
    (r"python cli.py fit( --scheme hubble --name first)?$", Run(*SMALL)),
    (r"python cli.py fit", Fit(*SMALL)),
    (r"python cli.py interpret .*[a-zA-Z]$", Run("--most", "2")),
    (r"python cli.py judge", Run("--name", "judged")),
    (r"python cli.py triage", Run("--number", "3")),
    (r"python cli.py data cutouts", Parse("`test_cutouts.py` has a server")),
    (r"python cli.py volunteers read .*--map", Parse("`test_zooniverse.py` has such an export")),
    (r"python cli.py (schema|calibrate|compare|data|uncertainty|export|interpret) ", Run()),
    (r"python cli.py (predict|report|volunteers) ", Run()),
]


def rule_of(command: str):
    result = [action for pattern, action in RULES if re.match(pattern, command)]
    assert result, f"no rule for {command!r}: say in RULES what is to be done with it"
    return result[0]


def hold_predictions(desk: Path) -> None:
    """Write predictions, labels and further predictions, and a run that is judged by them."""
    parts = ("valid", "calibration", "test")
    run = gm.open_run(desk / "exports" / "RUN")
    table = pd.concat([run.predictions(part) for part in parts])
    columns = ["galaxy", *(f"p_{name}" for name in run.classes)]
    for name in ("predictions.csv", "further.csv"):
        table[columns].to_csv(desk / name, index=False)
    table[["galaxy", "label"]].to_csv(desk / "labels.csv", index=False)
    labels = desk / "labels.csv"
    with without_drawing():
        gm.judge(desk / "predictions.csv", labels, out=desk / "exports", name="mine")


def hold_votes(folder: Path, galaxies: Path, name: str, ending: str) -> None:
    """Write a vote catalogue of 40 galaxies, its images named by its ids."""
    table = made_votes(name, 40)
    images = sorted((galaxies / "images_training_rev1").iterdir())
    (folder / "volunteers").mkdir(exist_ok=True)
    for number, galaxy in enumerate(table[table.columns[0]]):
        shutil.copy(images[number], folder / "volunteers" / f"{galaxy}.jpg")
    write = table.to_csv if ending.endswith(".csv") else table.to_parquet
    write(folder / "volunteers" / ending, index=False)


@pytest.fixture(scope="module")
def classes_desk(run, simple, new_folder) -> Path:
    """A folder with everything that the documents name, made of simple galaxies."""
    desk = new_folder("desk")
    for name in ("RUN", "RUN2", "OTHER", "my-run", "first", "second"):
        linked(run, desk / "exports" / name)
    images = sorted((simple / "images_training_rev1").iterdir())
    for folder, some in (("images", images[:4]), ("folder", images[4:8])):
        (desk / folder).mkdir()
        for image in some:
            shutil.copy(image, desk / folder)
    shutil.copy(images[8], desk / "image.jpg")
    shutil.copy(images[9], desk / "galaxy.jpg")
    shutil.copy(images[9], desk / "a.jpg")
    for name, some in (("images.zip", images[10:13]), ("images_test_rev1.zip", images[13:16])):
        with zipfile.ZipFile(desk / name, "w") as packed:
            for image in some:
                packed.write(image, image.name)
            packed.write(images[16], "b.jpg")
    catalogue = pd.DataFrame({"id": range(4), "image": [str(path) for path in images[:4]]})
    catalogue = catalogue.assign(ra=[10.0, 20.0, 30.0, 40.0], dec=[0.0, 1.0, 2.0, 3.0])
    catalogue.to_csv(desk / "cat.csv", index=False)
    catalogue.to_parquet(desk / "catalogue.parquet", index=False)
    votes = pd.read_csv(simple / "training_solutions_rev1.csv")
    kind = np.where(votes["Class1.1"] > 0.5, "smooth", "rough")
    for folder in ("data", "galaxies", "sky", "VOTES", "DIR", "LABELS", "my"):
        shutil.copytree(simple, desk / folder)
    for folder, name, column in (
        ("LABELS", "training_solutions_rev1.csv", "label"),
        ("my", "table.csv", "morphology"),
    ):
        table = pd.DataFrame({"GalaxyID": votes["GalaxyID"], column: kind})
        (desk / folder / "training_solutions_rev1.csv").unlink()
        table.to_csv(desk / folder / name, index=False)
    for column in votes.columns[1:]:
        votes[f"{column}_count"] = (votes[column] * 40).round().astype(int)
    (desk / "sky" / "training_solutions_rev1.csv").unlink()
    votes.to_csv(desk / "sky" / "training_solutions_rev1.csv", index=False)
    hold_votes(desk, simple, "galaxy-zoo-2", "gz2_hart16.csv")
    hold_votes(desk, simple, "decals_dr5", "campaign.csv")
    hold_votes(desk, simple, "galaxy-zoo-decals", "gz_decals_volunteers_5.parquet")
    (desk / "cutouts").mkdir()
    (desk / "to-label").mkdir()
    gm.simulate_volunteers(hold_counts(desk, votes), desk / "classifications.csv")
    hold_predictions(desk)
    settings = {"embeddings": True, "precision": "fp32"}
    images = desk / "data" / "images_training_rev1"
    gm.predict_catalogue(desk / "exports" / "RUN", images, desk / "embedded", **settings)
    return desk


def hold_counts(folder: Path, votes: pd.DataFrame) -> Path:
    """Write votes of 20 volunteers or so on every galaxy as a simulated sky has them."""
    rng, answers = np.random.default_rng(0), GALAXY_ZOO_CHALLENGE.columns
    shown = rng.poisson(20, len(votes)) + 1
    counts = draw_votes(GALAXY_ZOO_CHALLENGE, votes[answers].to_numpy(), shown, rng)
    table = pd.DataFrame(counts, columns=answers).assign(shown=shown)
    table.assign(GalaxyID=votes["GalaxyID"]).to_parquet(folder / "votes.parquet")
    return folder


@pytest.fixture(scope="module")
def tree_desk(classes_desk, new_folder) -> Path:
    """The same, but that the runs learnt the tree, with distributions."""
    desk = linked(classes_desk, new_folder("tree") / "desk")
    shutil.rmtree(desk / "exports")
    settings = ["--target", "tree", "--loss", "dirichlet-multinomial", *SMALL]
    data = ["--data", str(desk / "sky"), "--out", str(desk / "exports"), "--name", "RUN"]
    Fit(*settings, *data)(["python", "cli.py", "fit"])
    for name in ("RUN1", "RUN2", "RUN3"):
        linked(desk / "exports" / "RUN", desk / "exports" / name)
    return desk


@pytest.fixture
def desk(request, tmp_path, monkeypatch) -> Path:
    """A desk of one's own, to write on, the working folder."""
    kind = "tree_desk" if request.param in SOFT else "classes_desk"
    own = tmp_path / "desk"
    monkeypatch.chdir(linked(request.getfixturevalue(kind), own))
    return own


def named_there(words: list[str], desk: Path) -> list[str]:
    """Return a command's words with what they stand for on a desk."""
    run = desk / "exports" / "RUN"
    galaxy = pd.read_parquet(run / "predictions_test.parquet")["galaxy"].iloc[0]
    stand = {
        "123456": str(galaxy),
        "campaign.csv": "volunteers/campaign.csv",
        "my-votes.csv": "volunteers/gz2_hart16.csv",
        "gz2_hart16.csv": "volunteers/gz2_hart16.csv",
        "gz_decals_volunteers_5.parquet": "volunteers/gz_decals_volunteers_5.parquet",
        "cutouts/galaxy.fits": "cutouts/1.fits",
    }
    return [stand.get(word, word) for word in words]


@pytest.mark.parametrize(("desk", "command"), distinct(), indirect=["desk"])
def test_a_command_of_the_documents_does_what_it_says(desk, command):
    words = shlex.split(command.replace("…", "--data data").split(" > ")[0])
    action = rule_of(command)
    if isinstance(action, Run | Parse):
        if isinstance(action, Run) and any("cutouts" in word for word in words):
            write_cutouts(desk / "cutouts")
            action = (
                Run("--labels-column", "kind", *action.more)
                if "predict" not in words
                else Parse("")
            )
        if words[2:4] == ["survey", "simulate"]:
            shutil.rmtree(desk / words[4], ignore_errors=True)
        words = named_there(words, desk)
    action(words)


def write_cutouts(folder: Path) -> None:
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    for number in range(1, 41):
        hdu = fits.PrimaryHDU(rng.normal(100, 5, (3, 24, 24)).astype("float32"))
        hdu.header["BANDS"] = "grz"
        hdu.writeto(folder / "images" / f"{number}.fits")
    kinds = ["disk" if number % 2 else "smooth" for number in range(40)]
    table = pd.DataFrame({"GalaxyID": range(1, 41), "kind": kinds})
    table.to_csv(folder / "labels.csv", index=False)


SNIPPETS = [
    pytest.param(document.name, "\n".join(lines), id=f"{document.stem} {number}")
    for document in DOCUMENTS
    if document.name not in TUTORIALS
    for number, (language, lines) in enumerate(code(document))
    if language == "python"
]
SHORTER = {
    'recipe="quick")': f'recipe="{RECIPE}", size=32, batch=16, epochs=1)',
    '"quick", size=96)': f'"{RECIPE}", size=32, batch=16)',
    "lr_find()": "lr_find(num_it=20)",
    "fine_tune(5, ": "fine_tune(1, ",
    "data/simulated": "data",
}
# Of these only the grammar is checked: they take a cluster, or a library that nothing else does.
UNRUN = ("SLURMCluster", "lsdb")


@pytest.mark.parametrize(("desk", "snippet"), SNIPPETS, indirect=["desk"])
def test_a_snippet_of_the_documents_runs(desk, snippet):
    if snippet.startswith('"'):
        # An entry of a registry.
        snippet = "from galaxymorph.zoo import Scheme\n{" + snippet + "}"
    # A short fit, and a short search for its rate.
    for long, short in SHORTER.items():
        snippet = snippet.replace(long, short)
    compiled = compile(snippet, "snippet", "exec")
    if any(word in snippet for word in UNRUN):
        return
    if "model.onnx" in snippet:
        snippet = snippet.replace("model.onnx", "exports/RUN")
        compiled = compile(snippet, "snippet", "exec")
    if "predictions/" in snippet:
        assert galaxymorph("predict", "exports/RUN", "catalogue.parquet", "-o", "predictions/") == 0
    image = Image.open("image.jpg")
    given = {"image": image, "pixels": np.asarray(image), "data": Path("image.jpg").read_bytes()}
    exec(compiled, given)


def test_the_tutorial_goes_through_from_the_zips_to_the_catalogue(
    simple, tmp_path, monkeypatch, capsys
):
    """Its commands in their order, in one folder, the galaxies in Kaggle's own zip of zips."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    name = "training_solutions_rev1"
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as images:
        for image in sorted((simple / "images_training_rev1").iterdir()):
            images.write(image, f"images_training_rev1/{image.name}")
    with zipfile.ZipFile(tmp_path / "table.zip", "w") as table:
        table.write(simple / f"{name}.csv", f"{name}.csv")
    outer = tmp_path / "data" / "galaxy-zoo-the-galaxy-challenge.zip"
    with zipfile.ZipFile(outer, "w") as whole:
        whole.write(tmp_path / "images.zip", "images_training_rev1.zip")
        whole.write(tmp_path / "table.zip", f"{name}.zip")
    document = ROOT / "docs" / TUTORIAL
    for command in commands(document):
        action = rule_of(command)
        action(shlex.split(command))
    for language, lines in code(document):
        if language == "python":
            exec("\n".join(lines), {})
    assert "of 60 galaxies" in capsys.readouterr().out
    assert len(pd.read_parquet(tmp_path / "catalogue")) == 60
    assert (tmp_path / "exports" / "first" / "model-card.md").exists()


def test_the_loop_of_the_volunteers_goes_round(simple, tmp_path, monkeypatch, capsys):
    """With sixty simple galaxies in place of the sky, of which forty are labelled."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(simple, "sky")
    hold_counts(tmp_path / "sky", pd.read_csv("sky/training_solutions_rev1.csv"))
    for language, lines in code(ROOT / "docs" / TUTORIALS[1]):
        if language == "python":
            exec("\n".join(lines).replace("300:1100", "40:60").replace("100", "40"), {})
            continue
        for command in re.sub(r" *\\\n *", " ", "\n".join(lines)).splitlines():
            if " fit " in command:
                Fit(*SMALL)(shlex.split(command))
            elif not command.startswith("python benchmarks/"):
                rule_of(command)(shlex.split(command))
    chosen = pd.read_csv("to-label/manifest.csv")
    answers = pd.read_csv("to-label/votes.csv")
    assert sorted(chosen["galaxy"]) == sorted(answers["GalaxyID"])
    trained = pd.read_csv("exports/after/sources.csv")
    assert sorted(trained["galaxy"]) == sorted(answers["GalaxyID"])
    # The judging galaxies are those of the first fit.
    before, after = (
        pd.read_parquet(f"exports/{name}/predictions_test.parquet") for name in ("before", "after")
    )
    assert before["galaxy"].tolist() == after["galaxy"].tolist()
    assert not np.allclose(before["Class1.1"], after["Class1.1"])
    # Galaxies that volunteers classified have trained, and are marked so.
    again = gm.predict("exports/after", "to-label")
    assert again["part"].tolist() == ["train"] * 3
    assert "3 galaxies not retired yet, counted" in capsys.readouterr().err


def test_every_benchmark_is_importable_and_says_what_it_is():
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        compile(path.read_text(encoding="utf-8"), path.name, "exec")
        assert path.read_text(encoding="utf-8").startswith('"""')


def test_the_pages_that_are_made_from_the_code_can_be_made(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("conf", ROOT / "docs" / "conf.py")
    conf = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conf)
    monkeypatch.setattr(conf, "GENERATED", tmp_path)
    conf.generate_pages(None)
    face = (tmp_path / "api" / "galaxymorph.rst").read_text()
    assert all(f"galaxymorph.api.{name}\n" in face for name in galaxymorph_api.__all__)
    assert (tmp_path / "recipe.md").stat().st_size > 10_000
