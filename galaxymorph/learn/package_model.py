"""The files of the model that comes with the package. Nothing here imports PyTorch."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent / "backbones" / "weights"
# Trunks that `--weights galaxymorph` takes, by architecture.
PACKAGE_TRUNKS = {"resnet18": _FOLDER / "resnet18.safetensors"}
# The model that predicts where no run is named: all 37 answers of Galaxy Zoo 2's tree.
PACKAGE_MODEL = _FOLDER / "galaxymorph.safetensors"
