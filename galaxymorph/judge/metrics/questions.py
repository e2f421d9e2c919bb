"""Predictions of a soft target as answers to questions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, setting
from galaxymorph.judge.metrics.metric import true_and_predicted
from galaxymorph.learn import Run, target_of
from galaxymorph.zoo import Answer, Question, Tree, to_conditional


@dataclass(frozen=True)
class Questions:
    """Volunteers' and predicted cumulative fractions, each of shape (n, answers), and the tree."""

    tree: Tree
    true: np.ndarray
    predicted: np.ndarray

    @cached_property
    def true_share(self) -> np.ndarray:
        """Volunteers' conditional fractions, shape (n, answers), NaN where no vote was given."""
        return to_conditional(self.tree, self.true)

    @cached_property
    def predicted_share(self) -> np.ndarray:
        """Predicted conditional fractions, shape (n, answers)."""
        return to_conditional(self.tree, self.predicted)

    def words(self, at: int) -> str:
        """Return an answer, by its position, in words behind its question."""
        question, answer = self.tree.answers[at]
        return f"{question.text} {answer.text}".strip()


def questions_of(run: Run, table: pd.DataFrame) -> Questions:
    """Return a table of predictions of a run as questions; shares of classes answer a single one.

    Raises:
        BadInput: the run is trained on classes, of which no votes are known.
    """
    target = target_of(run.recipe)
    if not target.soft:
        raise BadInput(
            f"{run.path} is trained on {run.recipe.target}, not on votes",
            f"fit with {setting('target', 'tree')} or soft3",
        )
    return Questions(target.tree or _one_question(run.classes), *true_and_predicted(run, table))


def _one_question(classes: list[str]) -> Tree:
    answers = tuple(Answer(name, name.replace("_", " ")) for name in classes)
    return Tree("classes", (Question("class", "", answers, asked_of_all=True),))
