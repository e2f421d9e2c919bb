"""The file of the model that comes with the package. Nothing here imports PyTorch."""

from __future__ import annotations

from pathlib import Path

# It predicts where no run is named: all 37 answers of Galaxy Zoo 2's tree, see docs/model.md.
PACKAGE_MODEL = Path(__file__).parent / "backbones" / "weights" / "galaxymorph.safetensors"
