import pytest

from galaxymorph.base import archives
from tests.makers import write_kaggle_folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own, so that nothing is left in the user's."""
    monkeypatch.setenv("GALAXYMORPH_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    # A process keeps its few archives open; hundreds of tests would run out of file handles.
    archives._open_archives.clear()


@pytest.fixture
def kaggle(tmp_path):
    """Five galaxies in the Kaggle layout, unzipped."""
    return write_kaggle_folder(tmp_path / "kaggle", 5)
