"""The embeddings of a catalogue's galaxies: the column `embedding` of its partitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from galaxymorph.images import Fault
from galaxymorph.predict.failures import UNFAMILIAR

if TYPE_CHECKING:
    from pyarrow import Array

EMBEDDING = "embedding"


def embedding_column(vectors: np.ndarray, faults: Mapping[int, Fault]) -> Array:
    """Return embeddings as a column of lists of float16 of one length.

    An image that can't be used has NaN in every place, since Parquet's writers before pyarrow 18
    refuse missing lists of a fixed size.

    Args:
        vectors: shape (n, features), of every row, in float32.
        faults: of images by row. One that is unlike the training galaxies has an embedding.
    """
    import pyarrow as pa

    # Features of a network that diverged exceed half precision, and would become infinite.
    largest = np.finfo(np.float16).max
    halves = vectors.clip(-largest, largest).astype(np.float16)
    halves[[at for at, fault in faults.items() if fault.status != UNFAMILIAR]] = np.nan
    return pa.FixedSizeListArray.from_arrays(pa.array(halves.ravel()), halves.shape[1])
