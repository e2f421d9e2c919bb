import pytest

from galaxymorph.base import archives


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own, so that nothing is left in the user's."""
    monkeypatch.setenv("GALAXYMORPH_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    # A process keeps its few archives open; hundreds of tests would run out of file handles.
    archives._open_archives.clear()
