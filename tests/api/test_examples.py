"""The examples in the docstrings of `import galaxymorph as gm`, run as they stand."""

import doctest

import pytest

import galaxymorph as gm
from galaxymorph import api

# First what the other examples use: the sky, and runs on it.
FIRST = ["simulate", "fit"]
# Classes that are named for what functions return; their examples are those of the functions.
RESULTS = {"Analysis", "CatalogueCheck", "Metrics", "Score"}


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
def folder(tmp_path_factory):
    pytest.importorskip("galsim", reason="the extra survey is missing")
    folder = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in FIRST:
            run_example(name)
        gm.fit("sky", recipe="quick", scheme="layer1", size=64, epochs=1, name="second")
    return folder


@pytest.mark.parametrize("name", [name for name in gm.__all__ if name not in RESULTS])
def test_the_example_of_a_public_name_runs(name, folder, monkeypatch):
    if name in FIRST or not callable(getattr(gm, name)):
        return
    monkeypatch.chdir(folder)
    run_example(name)
