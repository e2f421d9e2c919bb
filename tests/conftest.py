"""Fixtures: simple galaxies, a run fitted on them, and the real galaxies where they are."""

import ctypes
import gc
import io
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import cache
from pathlib import Path

# Several processes that each take every core would fall to a tenth of their speed; set before
# PyTorch is imported, and inherited by the processes that tests start.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"

import pytest

import galaxymorph.api.judging  # noqa: F401, which binds what `undrawn` replaces
import galaxymorph.report as reports
from galaxymorph.base import plugins
from galaxymorph.base.progress import printed_log
from galaxymorph.cli import main
from galaxymorph.zoo import SCHEMES
from tests.simple import simple_galaxies

# Small images and a small network, whose weights start at random.
# A fit of resnet18 takes three times as long.
RECIPE = Path(__file__).parent / "quick.json"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUICK = ["--size", "32", "--batch", "8", "--epochs", "2", "--seed", "3"]


def galaxymorph(*arguments) -> int:
    """Run the command line in this process; return its exit status."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return stop.value.code


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    os.environ["GALAXYMORPH_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def _installed_plugins():
    """Look for the plugins of installed packages once: it takes a tenth of a short command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugins, "entry_points", cache(plugins.entry_points))
        yield


@pytest.fixture(autouse=True)
def _log():
    """Print what the package logs, as the command line does."""
    with printed_log():
        yield


def linked(folder: Path, copy: Path) -> Path:
    """Copy a run by hard links: commands replace its files, and write into none."""
    return Path(shutil.copytree(folder, copy, copy_function=os.link))


@contextmanager
def forgetting_plugins():
    """Forget the plugins of a block, which the processes that later tests start would load."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugins, "_loaded", dict(plugins._loaded))
        patch.setattr(SCHEMES, "_entries", dict(SCHEMES._entries))
        value = os.environ.pop(plugins.VARIABLE, None)
        yield
        os.environ.pop(plugins.VARIABLE, None)
        if value is not None:
            os.environ[plugins.VARIABLE] = value


@pytest.fixture(scope="module", autouse=True)
def _plugins_of_fixtures():
    """Forget the plugins of a module's fixtures."""
    with forgetting_plugins():
        yield


@pytest.fixture(autouse=True)
def _plugins():
    """Forget the plugins of a test."""
    with forgetting_plugins():
        yield


MODULES = itertools.count(1)
freeze = gc.freeze


@pytest.fixture(scope="session", autouse=True)
def _unfrozen():
    """Let no prediction freeze what is there, the garbage of earlier ones too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "freeze", lambda: None)
        yield


@pytest.fixture(scope="module", autouse=True)
def _memory():
    """Give back the memory that commands keep: here hundreds of them share a process.

    Collections go through what is new: the libraries alone have millions of objects.
    """
    yield
    # Now and then through all, since what was alive may be garbage by now.
    if next(MODULES) % 10 == 0:
        gc.unfreeze()
    gc.collect()
    freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@pytest.fixture(scope="module")
def new_folder(tmp_path_factory):
    """Return a function that makes a folder for a module's files, removed after its last test.

    A run takes 160 MB: those of all modules together would fill a disk.
    """
    folders = []

    def make(name: str) -> Path:
        folders.append(tmp_path_factory.mktemp(name))
        return folders[-1]

    yield make
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


DRAWING = {name: getattr(reports, name) for name in ("draw_run", "write_report")}
# In place of them, where no test looks at what they draw.
NO_DRAWING = dict.fromkeys(DRAWING, lambda *_: None)


@contextmanager
def fits_that(drawing: Mapping[str, Callable]) -> Iterator[None]:
    """Replace the functions by which a fit draws its figures and writes its page."""
    with pytest.MonkeyPatch.context() as patch:
        for name, function in drawing.items():
            patch.setattr(reports, name, function)
        yield


@pytest.fixture(scope="module")
def undrawn():
    """Leave out the figures and the page of fits, a third of the time of those on few galaxies.

    For modules of tests that look at neither.
    """
    with fits_that(NO_DRAWING):
        yield


@pytest.fixture
def unrefreshed(monkeypatch):
    """Leave out the page that a command on a run writes again.

    For tests that look at its other results.
    """
    from galaxymorph.api import analyses

    monkeypatch.setattr(analyses, "refresh_report", lambda *_: None)


def draw(drawing: Mapping[str, Callable]) -> None:
    """Replace the functions by which a fit draws its figures and writes its page, for good."""
    for name, function in drawing.items():
        setattr(reports, name, function)


def draw_nothing() -> None:
    """Leave out the figures and the page of fits in this process, which runs one command."""
    draw(NO_DRAWING)


def refresh_nothing() -> None:
    """Leave out the page that a command writes again, in this process, which runs one command."""
    from galaxymorph.api import analyses

    analyses.refresh_report = lambda *_: None


def measure_nothing() -> None:
    """Leave out statmorph's measurements in this process, which runs one command."""
    from galaxymorph.report import explanation

    explanation.can_measure = lambda: False


@pytest.fixture
def unmeasured(monkeypatch):
    """Leave out statmorph's measurements, most of the time of `explain` on few galaxies.

    For tests that do not look at them.
    """
    monkeypatch.setattr("galaxymorph.report.explanation.can_measure", lambda: False)


@pytest.fixture
def unredrawn(monkeypatch):
    """Leave a run's figures as they are when `report` writes its page again.

    For tests that look at the page alone.
    """
    monkeypatch.setattr("galaxymorph.report.page.redraw", lambda *_: None)


@pytest.fixture(scope="module")
def one_worker():
    """Simulate galaxies in this process: those that would share the work take longer to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda process: {0})
        yield


@contextmanager
def without_drawing() -> Iterator[None]:
    """Leave out the figures and pages of fits, of judged tables and of commands on runs."""
    from galaxymorph.api import analyses, judging

    commands = [name for name in vars(analyses) if name.startswith("draw_")]
    names = {judging: DRAWING, analyses: [*commands, "refresh_report"]}
    with fits_that(NO_DRAWING), pytest.MonkeyPatch.context() as patch:
        for module in names:
            for name in names[module]:
                patch.setattr(module, name, lambda *_: [])
        yield


@pytest.fixture
def plain():
    """Leave out figures and pages, most of the time of commands on few galaxies.

    For tests that look at neither.
    """
    with without_drawing():
        yield


@pytest.fixture(scope="session")
def simple(tmp_path_factory) -> Path:
    """Sixty simple galaxies in the Kaggle layout: 40 elliptical, 10 spiral, 10 irregular."""
    return simple_galaxies(tmp_path_factory.mktemp("data") / "simple", seed=1, number=60)


@pytest.fixture(scope="session")
def run(simple, tmp_path_factory) -> Path:
    """A finished run on the simple galaxies."""
    out = tmp_path_factory.mktemp("exports")
    words = ["--data", simple, "--recipe", RECIPE, "--out", out, "--name", "run", *QUICK]
    # The module that asks first may be one without figures.
    with fits_that(DRAWING):
        assert galaxymorph("fit", *words) == 0
    return out / "run"


@pytest.fixture(scope="session")
def resnet_run(simple, tmp_path_factory) -> Path:
    """A run of resnet18 on the simple galaxies."""
    out = tmp_path_factory.mktemp("exports")
    words = ["--data", simple, "--recipe", "scratch", "--views", "1", *QUICK]
    with fits_that(NO_DRAWING):
        assert galaxymorph("fit", *words, "--out", out, "--name", "run") == 0
    return out / "run"


@pytest.fixture(scope="session")
def onnx_file(run, tmp_path_factory) -> Path:
    """The finished run as an ONNX file, alone in its folder."""
    for library in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(library)
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    assert galaxymorph("export", run, "--format", "onnx", "-o", path) == 0
    return path


@pytest.fixture(scope="session")
def quantized(resnet_run, tmp_path_factory) -> Path:
    """A copy of the run of resnet18 with its model in int8, and what its export printed."""
    for library in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(library)
    copy = linked(resnet_run, tmp_path_factory.mktemp("quantized") / "run")
    with redirect_stdout(io.StringIO()) as printed:
        assert galaxymorph("export", "--format", "onnx-int8", copy) == 0
    (copy / "printed.txt").write_text(printed.getvalue())
    return copy


@pytest.fixture(scope="module")
def browser():
    """A browser of this machine, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is missing")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of the real galaxies."""
    folder = os.environ.get("GALAXYMORPH_REAL_DATA")
    if not folder:
        pytest.skip("GALAXYMORPH_REAL_DATA names no folder of real galaxies")
    return Path(folder)
