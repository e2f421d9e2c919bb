"""Embeddings that are recorded while images are predicted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import numpy as np

from galaxymorph.predict.predictors.base import Predictor


@dataclass
class RecordedEmbeddings:
    """The first network's embeddings and logits of the images that are predicted, by batch.

    Args:
        views: of a prediction.
        plain: embeddings of the plain view, each of shape (n, features).
        logits: of the plain view, each of shape (n, outputs).
        mean: embeddings, the mean over the views. Of eight views it is the same for an image that
            is mirrored or rotated by 90°.
    """

    views: int
    plain: list[np.ndarray] = field(default_factory=list)
    logits: list[np.ndarray] = field(default_factory=list)
    mean: list[np.ndarray] = field(default_factory=list)
    _batch: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    def add(self, embeddings: np.ndarray, logits: np.ndarray) -> None:
        """Add a batch of one view, in the order of views."""
        if self._batch and len(self._batch[0][0]) != len(logits):
            # A batch that ran out of memory after some views is repeated in halves.
            self._batch.clear()
        self._batch.append((embeddings, logits))
        if len(self._batch) == self.views:
            plain, logits = self._batch[0]
            self.plain.append(plain)
            self.logits.append(logits)
            self.mean.append(np.mean([vectors for vectors, _ in self._batch], axis=0))
            self._batch.clear()


@contextmanager
def record_embeddings(predictor: Predictor) -> Iterator[RecordedEmbeddings]:
    """Yield a record that fills with each batch that is predicted.

    So neither out-of-distribution scores nor the embeddings of a catalogue need a further pass. Of
    predictors without embeddings, such as those of ONNX files, the record stays empty.
    """
    recorded = RecordedEmbeddings(predictor.recipe.views)
    listen = getattr(predictor, "listen", None)
    with nullcontext() if listen is None else listen(recorded.add):
        yield recorded
