"""Which galaxies are worth a look: top losses, confident mistakes, the confusion matrix's cells."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from fastai.interpret import ClassificationInterpretation

from galaxymorph.base import Progress
from galaxymorph.learn import Run, ShowProgress, make_learner, with_images


def top_losses(run: Run, part: str = "test", data: Path | None = None) -> pd.DataFrame:
    """Return the galaxies of a part by falling loss, with predictions and `loss`.

    The losses are those of fastai's `ClassificationInterpretation`; a cross-validated run takes
    each galaxy from the fold that tested it.

    Args:
        run: trained.
        part: valid or test.
        data: where its catalogue is now, if it has moved.
    """
    tables = []
    with Progress("losses", len(run.predictions(part)), "images") as progress:
        for member in run.members:
            split = with_images(member.split, data)
            learn = make_learner(member, split, load=True)
            rows = split[split["split"] == part]
            loader = learn.dls.test_dl(rows, with_labels=True)
            with learn.no_logging(), learn.added_cbs(ShowProgress(progress, trained=False)):
                interpretation = ClassificationInterpretation.from_learner(learn, dl=loader)
            losses, positions = interpretation.top_losses()
            table = with_images(member.predictions(part), data).iloc[positions.tolist()]
            tables.append(table.assign(loss=losses.numpy()))
    return pd.concat(tables).sort_values("loss", ascending=False, kind="stable", ignore_index=True)


def confident_mistakes(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the galaxies that are wrong, most confident first."""
    wrong = predictions[predictions["label"] != predictions["predicted"]]
    return wrong.sort_values("confidence", ascending=False, kind="stable", ignore_index=True)


def confusion_cells(
    predictions: pd.DataFrame, classes: list[str]
) -> dict[tuple[str, str], pd.DataFrame]:
    """Return the galaxies of each cell (true class, predicted class), most confident first."""
    ordered = predictions.sort_values("confidence", ascending=False, kind="stable")
    return {
        (true, predicted): ordered[
            (ordered["label"] == true) & (ordered["predicted"] == predicted)
        ].reset_index(drop=True)
        for true in classes
        for predicted in classes
    }
