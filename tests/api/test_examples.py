"""The examples in the docstrings of `import galaxymorph as gm`, and the notebooks, run."""

import doctest
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import nbclient
import nbformat
import pandas as pd
import pytest
from jupyter_client.manager import AsyncKernelManager

import galaxymorph as gm
from galaxymorph import api
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE
from tests.processes import Command

pytestmark = pytest.mark.usefixtures("one_worker", "undrawn")

ROOT = Path(__file__).parents[2]
# First what the other examples use: the sky, and runs on it.
FIRST = ["simulate", "fit"]
# Classes that are named for what functions return; their examples are those of the functions.
RESULTS = {"Analysis", "CatalogueCheck", "Metrics", "Score"}
# Before the cells of a notebook, in a kernel that has run others. The pages of runs are looked at
# when a fit or `run.report()` has written them, not after the analyses between.
PRELUDE = """
from tests import conftest
conftest.refresh_nothing()
conftest.draw(conftest.{drawing})
%matplotlib inline
%cd -q {folder}
%reset -f
"""
UNDRAWN_FROM_HERE = "from tests.conftest import draw_nothing\ndraw_nothing()\n"


def run_example(name: str) -> None:
    # Of a package that is called like a function, the function.
    subject = getattr(api, name, None) or getattr(gm, name)
    tests = doctest.DocTestFinder(recurse=False).find(subject, f"gm.{name}", globs={})
    assert any(test.examples for test in tests), f"gm.{name}: no example in its docstring"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    report: list[str] = []
    for test in tests:
        runner.run(test, out=report.append)
    assert not runner.summarize(verbose=False).failed, "".join(report)


@pytest.fixture(scope="module")
def folder(new_folder, one_worker, undrawn):
    folder = new_folder("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in FIRST:
            run_example(name)
        gm.fit("sky", recipe="quick", scheme="layer1", size=64, epochs=1, name="second")
    return folder


@pytest.mark.parametrize("name", [name for name in gm.__all__ if name not in {*RESULTS, *FIRST}])
@pytest.mark.usefixtures("unrefreshed")
def test_the_example_of_a_public_name_runs(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    run_example(name)


class RunningKernel(AsyncKernelManager):
    """Connects to a kernel that is started and ended by others."""

    has_kernel = True


def answer_cells(connection: str) -> None:
    """Be a kernel, for as long as this process lives."""
    from ipykernel.kernelapp import IPKernelApp

    IPKernelApp.launch_instance(["-f", connection])


@pytest.fixture(scope="module")
def kernel() -> Iterator[AsyncKernelManager]:
    """The kernel of all notebooks, in a process that has the libraries."""
    manager = RunningKernel(owns_kernel=False)
    manager.write_connection_file()
    process = Command(prepare=partial(answer_cells, manager.connection_file))
    yield manager
    process.kill()
    manager.cleanup_connection_file()


def executed(
    name: str,
    kernel: AsyncKernelManager,
    folder: Path,
    shorter: Mapping[str, str],
    drawing: str = "NO_DRAWING",
    again: str | None = None,
    **replaced: str,
) -> nbformat.NotebookNode:
    """Return a notebook of the documents with its outputs, run in a folder as Jupyter would.

    Args:
        name: of the notebook.
        kernel: runs the cells; the names of earlier notebooks are deleted.
        folder: the working folder.
        shorter: pieces of code, each of which is there, and what takes less time in place of them.
        drawing: what its fits draw, as `tests/conftest.py` names it.
        again: the last line of a cell that runs a second time, at the end.
        replaced: values of variables that a cell sets.
    """
    notebook = nbformat.read(ROOT / "docs" / name, as_version=4)
    if again is not None:
        source = next(cell.source for cell in notebook.cells if cell.source.endswith(again))
        notebook.cells.append(nbformat.v4.new_code_cell(source))
    for long, short in shorter.items():
        assert any(long in cell.source for cell in notebook.cells)
        for cell in notebook.cells:
            cell.source = cell.source.replace(long, short)
    for cell in notebook.cells:
        for old, new in replaced.items():
            cell.source = re.sub(rf"^{old} = .*", f"{old} = {new}", cell.source, flags=re.M)
    prelude = PRELUDE.format(drawing=drawing, folder=folder)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(prelude))
    client = nbclient.NotebookClient(notebook, kernel, timeout=900)
    client.execute()
    client.kc.stop_channels()
    return notebook


def outputs_of(notebook: nbformat.NotebookNode) -> list[tuple[str, dict]]:
    """Return the code of each cell, and what it shows by type, text of streams included."""
    shown = []
    for cell in notebook.cells:
        data: dict = {}
        for output in cell.get("outputs", ()):
            data |= output.get("data", {})
            if output.output_type == "stream":
                data[output.name] = data.get(output.name, "") + output.text
        shown.append((cell.source, data))
    return shown


def shown_by(notebook: nbformat.NotebookNode, code: str) -> dict:
    return next(data for source, data in outputs_of(notebook) if source.endswith(code))


def test_the_first_notebook_runs_and_its_results_draw_themselves(folder, kernel, tmp_path):
    shutil.copytree(folder / "sky", tmp_path / "sky")
    shorter = {
        'recipe="quick"': 'recipe="quick", size=32, epochs=2, views=1',
        "size=96": "size=32",
        "frozen_epochs=10": "frozen_epochs=2",
        # `votes.report()` draws what this fit would.
        "votes = gm.fit(": f"{UNDRAWN_FROM_HERE}votes = gm.fit(",
    }
    notebook = executed("first-model.ipynb", kernel, tmp_path, shorter, "DRAWING", N="100")
    assert "image/png" in shown_by(notebook, "gm.show(sky, n=12, columns=6)")
    assert "layer1" in shown_by(notebook, "gm.check(sky)")["text/html"]
    fitted = shown_by(notebook, "\nrun")
    assert "macro-F1" in fitted["text/html"]
    assert "exports/classes/report.html" in fitted["text/html"]
    assert "<img src='data:image/webp" in shown_by(notebook, "run.calibrate()")["text/html"]
    assert "predicted" in shown_by(notebook, '.drop(columns="image").round(2)')["text/html"]
    printed = shown_by(notebook, 'contain the expected fraction")')["stdout"]
    assert re.fullmatch(r"(\w+ calibration: \d+% of the .*\n){2}", printed)
    assert (tmp_path / "exports" / "votes" / "report.html").exists()
    # Of progress, a line is left of each step, and no bar.
    for cell in notebook.cells:
        text = "".join(output.get("text", "") for output in cell.get("outputs", ()))
        assert len(text.splitlines()) < 12, text
        assert "\r" not in text


@pytest.mark.real
def test_the_notebook_of_real_galaxies_runs_with_fastais_own_calls(real, kernel, tmp_path):
    """The notebook on the first 240 of the galaxies."""
    source = real / "galaxy-zoo-challenge"
    images = tmp_path / "data" / "images_training_rev1"
    images.mkdir(parents=True)
    table = pd.read_csv(source / "training_solutions_rev1.csv").head(240)
    table.to_csv(tmp_path / "data" / "training_solutions_rev1.csv", index=False)
    for galaxy in table["GalaxyID"]:
        (images / f"{galaxy}.jpg").symlink_to(source / images.name / f"{galaxy}.jpg")
    published = pd.read_csv(source / "published_layer1.csv.gz").set_index("GalaxyID")["label_name"]
    elliptical = (published[table["GalaxyID"]] == "elliptical").sum()
    # Of the search for a rate, the figure is looked at.
    shorter = {'"quick"': '"quick", size=32, views=1', "lr_find()": "lr_find(num_it=20)"}
    notebook = executed("real-galaxies.ipynb", kernel, tmp_path, shorter, EPOCHS="1")
    assert f"elliptical {elliptical}" in shown_by(notebook, "gm.check(DATA)")["text/html"]
    for code in (
        "nrows=2)",
        "figsize=(14, 7))",
        "learn.lr_find(num_it=20)",
        "plot_loss()",
        "figsize=(4, 4))",
    ):
        assert "image/png" in shown_by(notebook, code), code
    report = shown_by(notebook, "print_classification_report()")["stdout"]
    assert "elliptical" in report
    assert "macro-F1" in shown_by(notebook, "\nrun")["text/html"]


def zipped(folder: Path, member: str) -> None:
    """Put a file or folder into the zip of its name, as Kaggle has it."""
    root, name = (folder / member).parent, Path(member).name
    shutil.make_archive(str(folder / Path(member).stem), "zip", root, name)


def test_the_notebook_of_the_challenge_ends_with_a_submission(folder, kernel, tmp_path):
    data = tmp_path / "competition"
    shutil.copytree(folder / "sky", data)
    shutil.copytree(data / "images_training_rev1", data / "images_test_rev1")
    for member in ("images_training_rev1", "training_solutions_rev1.csv", "images_test_rev1"):
        zipped(data, member)
    for images in ("images_training_rev1", "images_test_rev1"):
        shutil.rmtree(data / images)
    for name in ("training_solutions_rev1.csv", "truth.parquet", "votes.parquet"):
        (data / name).unlink()
    settings = {"arch": "resnet18", "weights": "galaxymorph", "size": 32, "epochs": 1, "batch": 16}
    values = {"DATA": repr(str(data)), "SETTINGS": repr(settings)}
    # The cell of training goes on with a run, and with a complete one it returns it.
    notebook = executed("challenge.ipynb", kernel, tmp_path, {}, again="\nrun", **values)
    assert "RMSE" in shown_by(notebook, "\nrun")["text/html"]
    *_, (code, shown) = outputs_of(notebook)
    assert code.endswith("\nrun") and "RMSE" in shown["text/html"]
    # The test images are those of training here: 100 rows.
    rows = pd.read_csv(tmp_path / "submission.csv")
    assert list(rows.columns) == ["GalaxyID", *GALAXY_ZOO_CHALLENGE.columns]
    assert len(rows) == 100
    assert rows.iloc[:, 1:].to_numpy().min() >= 0
    recipe = json.loads((tmp_path / "exports" / "challenge" / "recipe.json").read_text())["recipe"]
    assert (recipe["target"], recipe["unfreeze"], recipe["keep"]) == ("tree", 0, "average")


def stored(name: str) -> list[nbformat.NotebookNode]:
    """Return the cells of code of a notebook as it is stored."""
    notebook = nbformat.read(ROOT / "docs" / name, as_version=4)
    nbformat.validate(notebook)
    assert (ROOT / "docs" / name).stat().st_size < 1_000_000
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_first_notebook_is_stored_as_it_was_run():
    cells = stored("first-model.ipynb")
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not any(output.output_type == "error" for output in outputs)
    assert not any(output.get("name") == "stderr" for output in outputs)
    # No folder of the machine that ran it.
    assert not re.search(r"[\"' (]/(home|root|tmp|Users|work)/", str(outputs))


@pytest.mark.parametrize("name", ["real-galaxies.ipynb", "challenge.ipynb"])
def test_a_notebook_with_images_of_others_is_stored_without_them(name):
    cells = stored(name)
    assert not any(cell.outputs or cell.execution_count for cell in cells)
