"""Which galaxies are worth a look: top losses, confident mistakes, the confusion matrix's cells."""

from __future__ import annotations

import pandas as pd
from fastai.interpret import ClassificationInterpretation

from galaxymorph.base import Progress
from galaxymorph.learn import Run, ShowProgress, make_learner


def top_losses(run: Run, part: str = "test") -> pd.DataFrame:
    """Return the galaxies of a part by falling loss, with predictions and `loss`.

    The losses are those of fastai's `ClassificationInterpretation`; a cross-validated run takes
    each galaxy from the fold that tested it.
    """
    tables = []
    with Progress("losses", len(run.predictions(part)), "images") as progress:
        for member in run.members:
            learn = make_learner(member, load=True)
            rows = member.split[member.split["split"] == part]
            loader = learn.dls.test_dl(rows, with_labels=True)
            with learn.no_logging(), learn.added_cbs(ShowProgress(progress, trained=False)):
                interpretation = ClassificationInterpretation.from_learner(learn, dl=loader)
            losses, positions = interpretation.top_losses()
            table = member.predictions(part).iloc[positions.tolist()]
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
