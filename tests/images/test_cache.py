import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest

import galaxymorph.images.cache as cache_module
from galaxymorph.base import BadInput
from galaxymorph.images import cached_frames, centre_frame, decode


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GALAXYMORPH_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def images(home, simple):
    folder = home / "images"
    folder.mkdir()
    for source in sorted((simple / "images_training_rev1").glob("*.jpg"))[:5]:
        shutil.copy(source, folder)
    return [str(path) for path in sorted(folder.glob("*.jpg"))]


def pixels_of(images, **frame):
    frames, returned = cached_frames(images, **frame)
    return [frames.pixels.read([frames.rows[one.digest]])[0] for one in returned]


FRAME = {"crop": 0.5, "side": 40}


def test_the_frames_are_those_of_decoding_each_image(images):
    for path, cached in zip(images, pixels_of(images, **FRAME), strict=True):
        assert np.array_equal(cached, centre_frame(decode(path), 0.5, 40))


def test_nothing_is_decoded_twice(images, monkeypatch):
    before = pixels_of(images, **FRAME)

    def refuse(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr(cache_module, "open_files", refuse)
    assert np.array_equal(pixels_of(images, **FRAME), before)
    moved = [shutil.copy(path, path.replace(".jpg", "-copy.jpg")) for path in images]
    assert np.array_equal(pixels_of(moved, **FRAME), before)


@pytest.mark.parametrize("data", [b"", b'{"0ea5', b"[1, 2]"])
def test_a_damaged_index_is_named_with_what_to_delete(images, home, data):
    before = pixels_of(images, **FRAME)
    (index,) = (home / "cache").rglob("rows.json")
    index.write_bytes(data)
    with pytest.raises(BadInput, match=rf"{index}: damaged \(.*; delete {index.parent}$"):
        pixels_of(images, **FRAME)
    shutil.rmtree(index.parent)
    assert np.array_equal(pixels_of(images, **FRAME), before)


def test_a_changed_image_gives_its_new_frame(images):
    before = pixels_of(images, **FRAME)
    shutil.copy(images[1], images[0])
    after = pixels_of(images, **FRAME)
    assert np.array_equal(after[0], before[1])
    assert np.array_equal(after[2], before[2])


def test_another_frame_has_frames_of_its_own(images):
    assert pixels_of(images, crop=0.5, side=40)[0].shape == (40, 40, 3)
    assert pixels_of(images, crop=0.5, side=32)[0].shape == (32, 32, 3)
    assert not np.array_equal(
        pixels_of(images, crop=0.5, side=32)[0], pixels_of(images, crop=1.0, side=32)[0]
    )


@pytest.mark.parametrize("calls", [1, 2])
def test_an_image_that_does_not_decode_is_named_every_time(images, calls):
    Path(images[2]).write_bytes(b"no image")
    for _ in range(calls):
        frames, returned = cached_frames([*images, "nowhere.jpg"], **FRAME)
    assert [bool(inspection.fault) for inspection in returned] == [0, 0, 1, 0, 0, 1]
    assert f"{images[2]}: not an image" in returned[2].fault
    assert "nowhere.jpg: no such file" in returned[5].fault
    assert len(frames.rows) == 4


def test_no_good_image_at_all_is_no_crash(home):
    frames, returned = cached_frames(["nowhere.jpg"], **FRAME)
    assert frames.rows == {}
    assert returned[0].fault


def test_two_processes_at_once_build_one_cache(images, home):
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        jobs = [pool.apply_async(pixels_of, (images,), FRAME) for _ in range(4)]
        results = [job.get(60) for job in jobs]
    assert all(np.array_equal(result, results[0]) for result in results)
    built = [path for path in (home / "cache" / "frames").iterdir() if path.is_dir()]
    assert len(built) == 1


def test_a_build_that_is_stopped_leaves_nothing_behind(images, home, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "framed", stop)
        with pytest.raises(KeyboardInterrupt):
            cached_frames(images, **FRAME)
    assert not [path for path in (home / "cache" / "frames").iterdir() if path.is_dir()]
    assert len(pixels_of(images, **FRAME)) == 5


def test_a_full_disk_is_said_before_anything_is_written(images, home, monkeypatch):
    usage = shutil.disk_usage(home)._replace(free=10_000)
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(BadInput, match="GALAXYMORPH_CACHE"):
        cached_frames(images, **FRAME)
    assert not [path for path in (home / "cache" / "frames").iterdir() if path.is_dir()]
