"""The split in an exported file, and fits that start from its weights."""

import pytest
from safetensors.numpy import load_file, save_file

from galaxymorph.base import BadInput
from galaxymorph.learn import pack_split, read_stored_split
from tests.conftest import QUICK, RECIPE, galaxymorph

pytestmark = pytest.mark.usefixtures("undrawn")

PARTS = {"00112233445566ff": "train", "ffeeddccbbaa9988": "test"}


def test_a_split_is_read_as_it_was_written(tmp_path):
    save_file(pack_split(PARTS), tmp_path / "model.safetensors")
    assert read_stored_split(tmp_path / "model.safetensors") == PARTS


def test_a_file_without_a_split_has_none(tmp_path):
    save_file({}, tmp_path / "model.safetensors")
    assert read_stored_split(tmp_path / "model.safetensors") == {}


@pytest.mark.parametrize("name", ["split.digests", "split.parts"])
def test_a_damaged_split_is_refused_in_one_line(tmp_path, name):
    path = tmp_path / "model.safetensors"
    tensors = pack_split(PARTS)
    tensors[name] = tensors[name].repeat(200, axis=0) + 7
    save_file(tensors, path)
    with pytest.raises(BadInput, match="model.safetensors: ") as refusal:
        read_stored_split(path)
    assert "\n" not in str(refusal.value)


def test_a_fit_whose_test_galaxies_trained_its_weights_is_warned_of(run, simple, tmp_path, capsys):
    file, out = tmp_path / "model.safetensors", tmp_path / "exports"
    assert galaxymorph("export", run, "-o", file) == 0
    tensors = load_file(file)
    tensors["split.parts"][:] = 0
    save_file(tensors, file, _metadata(file))
    fit = ("fit", "--data", simple, "--recipe", RECIPE, "--weights", file, "--out", out)
    capsys.readouterr()
    assert galaxymorph(*fit, "--frozen-epochs", "0", "--name", "warned", *QUICK, "--epochs", 1) == 0
    assert "9 galaxies of 9 in the test part trained these weights" in capsys.readouterr().err


def _metadata(path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        return file.metadata()
