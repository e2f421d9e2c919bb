"""A run as Python takes it: its results, and everything that can be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from galaxymorph import api
from galaxymorph.api.paths import Place
from galaxymorph.base import BadInput, read_json
from galaxymorph.judge import metrics_of
from galaxymorph.learn import Run as RunFolder
from galaxymorph.learn import gather_galaxies, require_same_galaxies, split_with_targets, target_of
from galaxymorph.learn.run_files import METRICS, REPORT
from galaxymorph.report.notebook import html_confusion, html_link, html_table
from galaxymorph.report.tables import PARTS

if TYPE_CHECKING:
    from fastai.learner import Learner

    from galaxymorph.api.analyses import Analysis
    from galaxymorph.api.metrics import Metrics
    from galaxymorph.judge import Reproduction
    from galaxymorph.predict.exporters import Export
    from galaxymorph.report import Comparison


class Run(RunFolder):
    """A fit's folder, and what can be done with it.

    Methods take the options of the function of the same name, `run.calibrate(coverage=0.95)` those
    of `galaxymorph.calibrate`. A run stands wherever the path of its folder does. A notebook shows
    its metrics.

    Example:
        >>> import galaxymorph as gm
        >>> run = gm.open_run("exports/first")
        >>> run.recipe.size
        64
        >>> run.metrics["macro_f1"].better
        'greater'
        >>> list(run.predictions("test").columns[:3])
        ['galaxy', 'image', 'label']
    """

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def metrics(self) -> Metrics:
        """The metrics of the test part, with intervals."""
        return self.metrics_of("test")

    def metrics_of(self, part: str) -> Metrics:
        """Return the metrics of a part, test or valid, with intervals.

        Raises:
            BadInput: the fit isn't finished, or there is no such part.
        """
        from galaxymorph.api.metrics import read_metrics

        self.require_trained()
        if part not in PARTS:
            raise BadInput(f"part {part!r} is unknown", f"use {' or '.join(PARTS)}")
        return read_metrics(read_json(self.path / METRICS), part)

    def predictions(self, part: str = "test") -> pd.DataFrame:
        """Return galaxy, image, label and the prediction, a row a galaxy of a part.

        Args:
            part: test, valid or, where the split has one, calibration.
        """
        return super().predictions(part)

    def learner(self, data: Place | None = None) -> Learner:
        """Return fastai's `Learner` with the trained weights, on the galaxies of its catalogue.

        Galaxies of further catalogues (`also`) aren't among them.

        Args:
            data: where the catalogue is now, if it has moved.

        Raises:
            BadInput: the run has several models, or the catalogue isn't the one that it was split
                on.
        """
        from fastai.callback.progress import ProgressCallback

        from galaxymorph.learn import make_learner

        self.require_model()
        if self.part_word:
            raise BadInput(
                f"{self.path}: has {len(self.members)} models",
                f"open one, such as {self.members[0].path}",
            )
        recipe = replace(self.recipe, also=())
        galaxies = gather_galaxies(Path(data or self.data["path"]), recipe, skip_bad=True)
        require_same_galaxies(self, galaxies)
        split = split_with_targets(self.split, galaxies)
        learn = make_learner(self, split, galaxies.frames, load=True)
        learn.dls.recipe, learn.dls.classes, learn.dls.split = self.recipe, self.classes, split
        learn.add_cb(ProgressCallback())
        return learn

    def predict(self, images: Any, **options: Any) -> pd.DataFrame:
        """Return the predictions of images, see `galaxymorph.predict`."""
        return api.predict(self, images, **options)

    def calibrate(self, **options: Any) -> Analysis:
        """Calibrate the run, see `galaxymorph.calibrate`."""
        return api.calibrate(self, **options)

    def uncertainty(self, **options: Any) -> Analysis:
        """Compare sources of uncertainty, see `galaxymorph.uncertainty`."""
        return api.uncertainty(self, **options)

    def robustness(self, **options: Any) -> Analysis:
        """Measure what corrupted images cost, see `galaxymorph.robustness`."""
        return api.robustness(self, **options)

    def interpret(self, **options: Any) -> Analysis:
        """Draw galleries of galaxies, see `galaxymorph.interpret`."""
        return api.interpret(self, **options)

    def explain(self, **options: Any) -> Analysis:
        """Draw attribution maps, and test them, see `galaxymorph.explain`."""
        return api.explain(self, **options)

    def report(self, **options: Any) -> Path:
        """Write the page, see `galaxymorph.report`."""
        return api.report(self, **options)

    def export(self, format: str, **options: Any) -> Export:
        """Write the run as one file, see `galaxymorph.export`."""
        return api.export(self, format=format, **options)

    def reproduce(self, **options: Any) -> Reproduction:
        """Train the run again and compare, see `galaxymorph.reproduce`."""
        return api.reproduce(self, **options)

    def compare(self, *others: Place, **options: Any) -> Comparison:
        """Set the run beside others, see `galaxymorph.compare`."""
        return api.compare(self, *others, **options)

    def triage(self, catalogue: Any, output: Place, **options: Any) -> Any:
        """Choose images for volunteers, see `galaxymorph.triage`."""
        return api.triage(self, catalogue, output, **options)

    def __repr__(self) -> str:
        if not self.is_trained:
            return f"<Run {self.path}, not finished>"
        scores = self._headlines(self.metrics)
        words = "; ".join(f"{score.label} {score}" for score in scores.values())
        return f"<Run {self.path}, {self.metrics.galaxies:,} test galaxies: {words}>"

    def _headlines(self, metrics: Metrics) -> Mapping[str, Any]:
        entries = metrics_of(target_of(self.recipe).metrics)
        return {name: metrics[name] for name in metrics if entries[name].headline}

    def _repr_html_(self) -> str:
        """Return the test part's metrics and confusion matrix for a notebook's cell."""
        if not self.is_trained:
            return f"<p>{escape(repr(self))}</p>"
        metrics = self.metrics
        rows = [(score.label, str(score), score.better or "") for score in metrics.scores.values()]
        parts = [
            f"<p><b>{escape(self.path.name)}</b>: {metrics.galaxies:,} test galaxies, values with "
            "95 % intervals</p>",
            html_table(("metric", "value", "better"), rows, (0, 2)),
        ]
        if metrics.confusion is not None:
            counts = metrics.confusion.to_numpy().tolist()
            corner = f"{self.recipe.truth} ↓  model →"
            parts.append(html_confusion(self.classes, counts, corner))
        for warning in read_json(self.path / METRICS).get("warnings", []):
            parts.append(f"<p>⚠ {escape(warning['what'])}. Try: {escape(warning['remedy'])}</p>")
        page = self.path / REPORT
        if page.exists():
            parts.append(f"<p><small>report: {html_link(page)}</small></p>")
        return "".join(parts)


def open_run(path: Place) -> Run:
    """Return the run in a folder.

    Args:
        path: of the folder.

    Raises:
        BadInput: it isn't a run.

    Example:
        >>> import galaxymorph as gm
        >>> run = gm.open_run("exports/first")
        >>> run.is_trained
        True
    """
    run = Run(Path(path))
    # Reads and checks recipe.json.
    _ = run.classes
    return run
