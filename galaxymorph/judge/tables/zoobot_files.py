"""Zoobot's HDF5 files of predictions.

`predict_on_catalog` writes three datasets: `predictions`, shape (galaxies, answers, forward
passes), `id_str` and `label_cols`, the names of the answers (zoobot/shared/save_predictions.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galaxymorph.base import Damaged, import_extra, library_errors, reading

HDF5 = b"\x89HDF\r\n\x1a\n"
DATASETS = ("predictions", "id_str", "label_cols")


@dataclass(frozen=True)
class ZoobotFile:
    """Ids, names of answers, and predictions, shape (samples, n, answers)."""

    ids: list[str]
    answers: list[str]
    samples: np.ndarray


def is_hdf5(path: Path) -> bool:
    """Tell whether a file is HDF5, by its first bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(len(HDF5)) == HDF5


def read_zoobot(path: Path) -> ZoobotFile | None:
    """Return the content of Zoobot's file of predictions, None of another HDF5 file.

    Raises:
        BadInput: h5py is missing, or the file is damaged.
    """
    h5py = import_extra("h5py", "hdf5", f"{path}: an HDF5 file")
    with reading(path, "write it again", "not a readable table"), library_errors():
        with h5py.File(path, "r") as file:
            if not set(DATASETS) <= set(file):
                return None
            values = np.asarray(file["predictions"], float)
            ids, answers = ([_text(cell) for cell in file[name]] for name in DATASETS[1:])
        if values.ndim == 2:
            values = values[:, :, None]
        if values.ndim != 3 or values.shape[:2] != (len(ids), len(answers)) or not values.size:
            raise Damaged(
                f"predictions are of shape {values.shape}, not ({len(ids)}, {len(answers)}, passes)"
            )
    return ZoobotFile(ids, answers, np.moveaxis(values, 2, 0))


def _text(cell: object) -> str:
    return cell.decode("utf-8") if isinstance(cell, bytes) else str(cell)
