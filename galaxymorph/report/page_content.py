"""The content of a run's page: the run, its files, and its pictures."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from galaxymorph.base import read_json
from galaxymorph.judge import Predictions, calibrated_predictions, is_calibrated, part_metrics
from galaxymorph.learn import Run, run_files, target_of
from galaxymorph.report.figures.gallery import Gallery, gallery_of
from galaxymorph.report.figures.pictures import LIMIT, TEXT, Picture, encode_pictures, read_picture

# Files of a run that the gallery needs.
PREDICTED: tuple[str, ...] = (run_files.METRICS, "predictions_test.parquet")
# Figures whose content is in tables of the page.
DRAWN = {"scores_by_class", "confusion_valid", "confusion_test"}


@dataclass
class PageContent:
    """A run, where its catalogue is now if it has moved, and the pictures that are on the page."""

    run: Run
    data: Path | None = None
    pictures_used: list[Picture] = field(default_factory=list)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """`metrics.json`; where calibration changes classes, the scores of the calibrated ones.

        All parts of the page refer to the same predictions.
        """
        metrics, run = self.json(run_files.METRICS), self.run
        if not target_of(run.recipe).soft and is_calibrated(self.test):
            for part in run.scored_parts:
                table = run.predictions(part).drop_duplicates("galaxy", ignore_index=True)
                given = calibrated_predictions(run, table)
                if (given["predicted"] != table["predicted"]).any():
                    predictions = Predictions.of(run, given)
                    metrics[part] |= part_metrics(predictions, ["classification"])
        return metrics

    @cached_property
    def test(self) -> pd.DataFrame:
        """The predictions of the test part, each galaxy once."""
        return self.run.predictions("test").drop_duplicates("galaxy", ignore_index=True)

    @cached_property
    def gallery(self) -> Gallery:
        """The galaxies of the test part."""
        return gallery_of(self.run, self.test, self.data)

    def has(self, *names: str) -> bool:
        """Tell whether the run has all of some files."""
        return all((self.run.path / name).exists() for name in names)

    def json(self, name: str) -> dict[str, Any]:
        """Return a JSON file of the run."""
        return read_json(self.run.path / name)

    def pictures(self, *patterns: str) -> list[Picture]:
        """Return the run's pictures of some names, without those already used; see `encode`."""
        used = {picture.path for picture in self.pictures_used}
        named = (path for name in patterns for path in sorted(self.run.path.glob(name)))
        paths = [
            path for path in dict.fromkeys(named) if path not in used and path.stem not in DRAWN
        ]
        pictures = list(filter(None, map(read_picture, paths)))
        self.pictures_used += pictures
        return pictures

    def encode(self) -> None:
        """Encode the pictures, within the size limit of a page."""
        gallery = len(json.dumps(self.gallery.data)) if self.has(*PREDICTED) else 0
        encode_pictures(self.pictures_used, LIMIT - TEXT - gallery)

    def folders_left_out(self) -> list[tuple[str, int]]:
        """Return folders with figures that aren't on the page, and their number in each."""
        used = {picture.path for picture in self.pictures_used}
        numbers = Counter(
            path.parent.relative_to(self.run.path).as_posix()
            for top in ("figures", "explain")
            for path in (self.run.path / top).rglob("*.png")
            if path not in used and path.stem not in DRAWN
        )
        return sorted(numbers.items())
