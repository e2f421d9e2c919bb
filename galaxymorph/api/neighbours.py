"""Similar and anomalous galaxies, in a catalogue whose embeddings are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from galaxymorph.api.calling import takes
from galaxymorph.api.options import AnomaliesOptions, Listed, SimilarOptions
from galaxymorph.api.paths import Place, require_output
from galaxymorph.base import BadInput, read_head, say, setting
from galaxymorph.predict.column_words import column_words
from galaxymorph.report.figures.style import FORMATS
from galaxymorph.zoo.table_writing import WRITERS, write_table_file


@takes(SimilarOptions)
def similar(folder: Place, **options: Any) -> pd.DataFrame:
    """Return the galaxies of a catalogue that are most like one of it, or like an image.

    A row a galaxy, the nearest first, with `distance` and its prediction. The index of the
    embeddings is made by the first call and stored in the folder; the next ones in this process
    have it loaded. If `status` is `unfamiliar`, nothing in the catalogue is like the galaxy.

    Args:
        folder: of the catalogue's predictions with embeddings, see `predict_catalogue`.

    Raises:
        BadInput: the folder has no embeddings, the galaxy or the image can't be used, a file is
            damaged, or the extra `similar` isn't installed.

    Example:
        >>> import galaxymorph as gm
        >>> images = "sky/images_training_rev1"
        >>> failures = gm.predict_catalogue("exports/first", images, "alike", embeddings=True)
        >>> table = gm.similar("alike", galaxy="100001", k=5)
        >>> len(table), "100001" in set(table["galaxy"])
        (5, False)
        >>> gm.similar("alike", image=f"{images}/100001.jpg", k=1)["galaxy"].tolist()
        ['100001']
    """
    from galaxymorph.predict.similar import open_similar, say_unfamiliar, warn_of_distant

    chosen = SimilarOptions(**options)
    if (chosen.galaxy is None) == (chosen.image is None):
        raise BadInput(
            "similar: it needs either a galaxy or an image",
            f"give {setting('galaxy')} ID or {setting('image')} FILE",
        )
    for option in ("model", "stretch", "bands"):
        if getattr(chosen, option) and not chosen.image:
            raise BadInput(f"{setting(option)}: it is for {setting('image')}", "leave it out")
    _require_outputs(chosen)
    catalogue = open_similar(Path(folder))
    if chosen.galaxy is not None:
        # Tables often have ids as numbers.
        name = str(chosen.galaxy)
        table = catalogue.of_galaxy(name, chosen.k)
        shown = catalogue.catalogue.reference(catalogue.image_of(name), chosen.data)
    else:
        name = shown = str(chosen.image)
        # A missing image is refused before the network is loaded.
        read_head(shown, 1)
        table = catalogue.of_image(shown, chosen.k, chosen.model, chosen.stretch, chosen.bands)
    say_unfamiliar(table, name)
    if len(table) < chosen.k:
        say(f"the catalogue has {len(table):,} galaxies to list, fewer than {chosen.k:,}")
    if chosen.sheet:
        from galaxymorph.report.figures.listed_galaxies import draw_listed

        references = [catalogue.catalogue.reference(image, chosen.data) for image in table["image"]]
        notes = ["", *(f"distance {distance:.3f}" for distance in table["distance"])]
        query = pd.DataFrame({"galaxy": [Path(name).stem if chosen.image else name]})
        drawn = pd.concat([query, table], ignore_index=True)
        drawn.attrs = table.attrs
        rendering = catalogue.catalogue.rendering
        draw_listed(
            chosen.sheet,
            drawn,
            [shown, *references],
            notes,
            f"Galaxies of {folder} most like {query['galaxy'][0]}",
            [rendering.changed(chosen.stretch, chosen.bands), *[rendering] * len(table)],
        )
    warn_of_distant(catalogue)
    return _written(table, chosen)


@takes(AnomaliesOptions)
def anomalies(folder: Place, **options: Any) -> pd.DataFrame:
    """Return the most anomalous galaxies of a catalogue, a row each, by falling score.

    Args:
        folder: of the catalogue's predictions with embeddings, see `predict_catalogue`.

    Raises:
        BadInput: the folder has no embeddings, or a file is damaged.

    Example:
        >>> import galaxymorph as gm
        >>> images = "sky/images_training_rev1"
        >>> failures = gm.predict_catalogue("exports/first", images, "embedded", embeddings=True)
        >>> table = gm.anomalies("embedded", number=3)
        >>> table["rank"].tolist(), table["score"].is_monotonic_decreasing
        ([1, 2, 3], True)
    """
    from galaxymorph.predict.anomalies import rank_anomalies
    from galaxymorph.predict.embedded_catalogue import open_embedded

    chosen = AnomaliesOptions(**options)
    _require_outputs(chosen)
    catalogue = open_embedded(Path(folder))
    table = rank_anomalies(catalogue, chosen.detector, chosen.number)
    if chosen.sheet:
        from galaxymorph.report.figures.listed_galaxies import draw_listed

        draw_listed(
            chosen.sheet,
            table,
            [catalogue.reference(image, chosen.data) for image in table["image"]],
            [
                f"no. {rank}, score {score:.3f}"
                for rank, score in zip(table["rank"], table["score"], strict=True)
            ],
            f"Most anomalous galaxies of {folder}, of {catalogue.rows:,}",
            [catalogue.rendering] * len(table),
        )
    return _written(table, chosen)


def _require_outputs(chosen: Listed) -> None:
    """Raise BadInput for a table or a sheet that can't be written, before anything is read."""
    require_output(chosen.output, tuple(WRITERS), f"use {', '.join(WRITERS)}")
    sheet = chosen.sheet
    if sheet and sheet.suffix != ".png":
        kind = sheet.suffix[1:].lower()
        further = (
            f", and {setting('figures', kind)} for a {kind} file beside it"
            if kind in FORMATS
            else ""
        )
        raise BadInput(
            f"{setting('sheet', sheet)}: a sheet is a .png file",
            f"give {sheet.with_suffix('.png') if sheet.suffix else f'{sheet}.png'}{further}",
        )


def _written(table: pd.DataFrame, chosen: Listed) -> pd.DataFrame:
    if chosen.output:
        words = column_words(table.columns, table.attrs.get("schema"))
        write_table_file(chosen.output, table, words)
    return table
