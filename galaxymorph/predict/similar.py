"""The galaxies of a catalogue that are most like one of it, or like an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from galaxymorph.base import BadInput, did_you_mean, say
from galaxymorph.images import Source
from galaxymorph.judge.robustness.drift import NEIGHBOURS
from galaxymorph.predict.embedded_catalogue import EmbeddedCatalogue, open_embedded, warn_of_few
from galaxymorph.predict.failures import UNFAMILIAR
from galaxymorph.predict.predictors.base import Predictor
from galaxymorph.predict.predictors.recording import record_embeddings
from galaxymorph.predict.similar_index import SimilarIndex, open_index
from galaxymorph.predict.tables import SCORES

# Columns of the predictions that the table of neighbours doesn't have: it has a distance and a
# status of its own.
OWN_COLUMNS = ("row", *SCORES, "model_id", "status", "error")


@dataclass(frozen=True)
class SimilarGalaxies:
    """A catalogue, and the index of its embeddings."""

    catalogue: EmbeddedCatalogue
    index: SimilarIndex

    def of_galaxy(self, galaxy: str, number: int) -> pd.DataFrame:
        """Return the galaxies most like one of the catalogue, see `of_vector`.

        Raises:
            BadInput: there is no such galaxy, or its image couldn't be used.
        """
        place = self._place(galaxy)
        row = self.index.galaxies["row"][place].as_py()
        return self.of_vector(self.catalogue.vector(row), number, without=place)

    def of_image(
        self,
        image: Source,
        number: int,
        model: Path | None = None,
        stretch: str | None = None,
        bands: str | None = None,
    ) -> pd.DataFrame:
        """Return the galaxies most like an image, see `of_vector`.

        Args:
            image: as `galaxymorph.images.as_image` takes it.
            number: of galaxies.
            model: where the catalogue's model is now, if it has moved.
            stretch: of a FITS image, in place of that of the catalogue's.
            bands: of a FITS image, likewise.

        Raises:
            BadInput: the image can't be used, or the model isn't there.
        """
        predictor = self.catalogue.load_predictor(model, stretch, bands)
        return self.of_vector(embed_image(predictor, image), number)

    def of_vector(
        self, vector: np.ndarray, number: int, without: int | None = None
    ) -> pd.DataFrame:
        """Return the galaxies nearest to an embedding, a row each, the nearest first.

        The columns are `galaxy`, `image`, `distance`, which is between embeddings of length 1 and
        so from 0 to 2, `status`, and those of the predictions. The status is `unfamiliar` in every
        row if the embedding is farther from its tenth-nearest galaxy than 1,000 galaxies of the
        catalogue are from theirs: its neighbours then tell nothing about it.

        Args:
            vector: shape (features,).
            number: of galaxies, of which the catalogue may have fewer.
            without: a galaxy's place in the index that is left out.
        """
        places, distances = self.index.nearest(vector, max(number, NEIGHBOURS) + 1)
        if without is not None:
            distances, places = distances[places != without], places[places != without]
        far = distances[min(NEIGHBOURS, len(distances)) - 1] if len(distances) else 0.0
        status = UNFAMILIAR if far > self.index.usual[-1] else "ok"
        table = self.index.galaxies.take(pa.array(places[:number])).to_pandas()
        table = table.drop(columns=list(OWN_COLUMNS), errors="ignore")
        table.insert(2, "distance", distances[:number].astype(np.float32))
        table.insert(3, "status", status)
        table.attrs["schema"] = self.catalogue.schema
        return table

    def image_of(self, galaxy: str) -> str:
        """Return the image of a galaxy, as the catalogue has it.

        Raises:
            BadInput: there is no such galaxy, or its image couldn't be used.
        """
        return str(self.index.galaxies["image"][self._place(galaxy)].as_py())

    def _place(self, galaxy: str) -> int:
        """Return the place of a galaxy in the index, of several with its id the first."""
        import pyarrow.compute as pc

        ids = self.index.galaxies["galaxy"]
        place = pc.index(ids, pa.scalar(galaxy, ids.type)).as_py()
        if place < 0:
            raise BadInput(
                f"{galaxy}: {self.catalogue.folder} has no such galaxy with a usable image",
                did_you_mean(galaxy, ids.slice(0, 2000).to_pylist()),
            )
        return place


def open_similar(folder: str | Path) -> SimilarGalaxies:
    """Return the galaxies of a folder of predictions, for searches; their index is made at first.

    Raises:
        BadInput: the folder has no embeddings, a file is damaged, or the extra isn't installed.
    """
    catalogue = open_embedded(folder)
    return SimilarGalaxies(catalogue, open_index(catalogue))


def embed_image(predictor: Predictor, image: Source) -> np.ndarray:
    """Return the embedding of an image, shape (features,), the mean over the predictor's views.

    Raises:
        BadInput: the image can't be used.
    """
    with record_embeddings(predictor) as recorded:
        predictor.outputs_of_each([image])
    return recorded.mean[0][0]


def warn_of_distant(catalogue: SimilarGalaxies) -> None:
    """Warn of neighbours in a catalogue of few galaxies."""
    warn_of_few(
        catalogue.catalogue.folder,
        len(catalogue.index.galaxies),
        "the nearest galaxies are alike",
        "look at the images rather than at the order",
    )


def say_unfamiliar(table: pd.DataFrame, name: str) -> None:
    """Print that neighbours tell nothing about a galaxy, if that is so."""
    if len(table) and table["status"].eq(UNFAMILIAR).all():
        say(
            f"{name} is unlike every galaxy of the catalogue: it is farther from them than they "
            "are from each other, and its neighbours tell nothing about it"
        )
