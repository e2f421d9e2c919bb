"""Morphology by measurement: statmorph's concentration, asymmetry, smoothness, Gini and M20.

Measured on the grey 8-bit picture that the network sees, not on calibrated flux: the stretch of
the picture lowers Gini and concentration, so values are comparable among themselves only.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, Progress, without_warnings
from galaxymorph.base.process import map_in_processes
from galaxymorph.images import Rendering, decode
from galaxymorph.judge.explain.segmentation import EDGE, segment

# As in Rodriguez-Gomez et al. 2019, MNRAS 483, 4140, section 4, after Conselice 2003 and Lotz et
# al. 2004; all without units.
MEASURES = ("concentration", "asymmetry", "smoothness", "gini", "m20")
# statmorph's flag from which a measurement isn't to be trusted.
SUSPECT = 2
# Fewer galaxies than this are measured sooner than processes start.
LEAST_FOR_PROCESSES = 12


def lotz_merger_line(m20: np.ndarray) -> np.ndarray:
    """Return Gini above which galaxies are mergers (Lotz et al. 2008, ApJ 672, 177, equation 4)."""
    return -0.14 * m20 + 0.33


def lotz_early_line(m20: np.ndarray) -> np.ndarray:
    """Return Gini above which non-mergers are E, S0, Sa, below Sb to Irr (same equation)."""
    return 0.14 * m20 + 0.80


def can_measure() -> bool:
    """Tell whether statmorph is installed."""
    return importlib.util.find_spec("statmorph") is not None


def measure_all(images: Sequence[str], rendering: Rendering) -> pd.DataFrame:
    """Return `MEASURES` and `flag`, a row an image; NaN and flag 4 where nothing can be measured.

    Raises:
        BadInput: statmorph is missing, or an image can't be used.
    """
    if not can_measure():
        raise BadInput("morphometry needs statmorph", "pip install 'galaxymorph[morphometry]'")
    rows, workers = [], 1 if len(images) < LEAST_FOR_PROCESSES else os.cpu_count() or 1
    with Progress("morphometry", len(images), "galaxies") as progress:
        for row in map_in_processes(partial(measure, rendering=rendering), images, workers):
            rows.append(row)
            progress.advance()
    return pd.DataFrame(rows, columns=[*MEASURES, "flag"])


def measure(image: str, rendering: Rendering) -> dict[str, float]:
    """Return `MEASURES` and `flag` of one image.

    The galaxy is the source at the centre, see `segmentation.segment`; others are masked.
    """
    import statmorph

    nothing = dict.fromkeys(MEASURES, np.nan) | {"flag": 4}
    segments = segment(decode(image, rendering))
    if not segments.galaxy.any():
        return nothing
    rim = np.concatenate([segments.grey[:EDGE].ravel(), segments.grey[-EDGE:].ravel()])
    with without_warnings(), np.errstate(all="ignore"):
        try:
            shape = statmorph.source_morphology(
                255.0 * (segments.grey - np.median(rim)),
                segments.galaxy.astype(int),
                mask=segments.others,
                gain=1.0,
                sersic_fitting_args={"maxiter": 20},
            )[0]
        except Exception:
            # statmorph raises of many kinds where there is nothing to measure.
            return nothing
    return {name: float(getattr(shape, name)) for name in MEASURES} | {"flag": int(shape.flag)}
