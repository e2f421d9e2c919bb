"""Published results, and the conditions under which a run is comparable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from galaxymorph.learn import Run


@dataclass(frozen=True)
class Reference:
    """A published result.

    Args:
        target: of the model.
        parts: galaxies in each part of its split; empty if its test galaxies aren't public.
        scores: of its test part, by name in `metrics.json`.
        source: of the publication.
    """

    target: str
    parts: Mapping[str, int]
    scores: Mapping[str, float]
    source: str


# All on Galaxy Zoo - The Galaxy Challenge (Kaggle), 61,578 galaxies with votes.
BASELINE = "the reference notebooks (ResNet-18, 224 px, three frozen epochs and three fine-tuned)"
REFERENCES = (
    Reference(
        "classes",
        {"train": 11_797, "valid": 2_528, "test": 2_528},
        {"macro_f1": 0.9016, "accuracy": 0.96},
        BASELINE,
    ),
    Reference(
        "soft3",
        {"train": 43_104, "valid": 9_237, "test": 9_237},
        {"kl": 0.1279, "mse": 0.0222, "macro_f1": 0.795},
        BASELINE,
    ),
    Reference(
        "tree",
        {},
        {"rmse": 0.0749},
        "Dieleman, Willett & Dambre (2015, MNRAS 450, 1441), 17 networks",
    ),
)
CHALLENGE = 61_578


def reference_of(run: Run) -> tuple[Reference | None, str]:
    """Return the published result that a run can be compared with, and why or why not."""
    recipe, split = run.recipe, run.split
    published = next((entry for entry in REFERENCES if entry.target == recipe.target), None)
    if published is None or recipe.labels_column is not None:
        return None, "No published result is known for these labels."
    if recipe.target != "tree" and recipe.scheme != "layer1":
        return None, (
            f"The published results are for the scheme layer1, and this run uses {recipe.scheme}, "
            "so they are not compared."
        )
    counts = split["split"].value_counts().to_dict()
    if published.parts:
        if recipe.folds or counts != dict(published.parts) or recipe.seed != 42:
            return None, (
                "The published result is on other galaxies: "
                + "/".join(f"{number:,}" for number in published.parts.values())
                + " for training, validation and testing, drawn with seed 42 from the whole "
                "Galaxy Zoo challenge. This run uses others, so they are not compared."
            )
        return published, (
            f"Published: {published.source}, on the same galaxies (the split has the same rule, "
            "seed and sizes)."
        )
    if len(split) != CHALLENGE:
        return None, (
            f"The published error is for the {CHALLENGE:,} galaxies of the Galaxy Zoo challenge, "
            f"and this run has {len(split):,}, so they are not compared."
        )
    return published, (
        f"Published: {published.source}, on the challenge's test galaxies, whose votes are not "
        "public; the test galaxies of this run are from the training file. The two sets are "
        "similar, but not the same."
    )
