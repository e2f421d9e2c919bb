"""What a run's predictions are worth when the images get worse: corruptions by severities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from galaxymorph.base import BadInput, Progress, Steps, read_json, reading, write_json
from galaxymorph.images import (
    CORRUPTIONS,
    PUBLISHED,
    SEVERITIES,
    Frames,
    cached_frames,
    corrupt,
    frame_scale,
)
from galaxymorph.judge.calibration import calibrated_coverage, sets_record
from galaxymorph.judge.conformal import prediction_sets
from galaxymorph.judge.metrics import class_scorer, true_and_predicted
from galaxymorph.judge.reliability import (
    binned,
    binned_error,
    confidence_band,
    equal_width,
    from_zero,
)
from galaxymorph.judge.resampling import (
    LEVEL,
    NOTHING,
    RESAMPLES,
    bootstrap,
    rounded,
    value_with_interval,
)
from galaxymorph.judge.vote_metrics import kl_divergence, square_errors
from galaxymorph.learn import (
    Recipe,
    Run,
    adapt_batchnorm,
    dihedral,
    infer,
    item_frame,
    load_network,
    make_link,
    pixel_stats,
    predicted_columns,
    prediction_table,
    require_views,
    serving_network,
    side_by_side,
    target_of,
    true_columns,
    with_images,
    write_table,
)

CLEAN = "clean"
# Names of corruptions and severities of each suite; None: every severity, or those asked for.
SUITES: dict[str, tuple[Sequence[str], tuple[int, ...] | None]] = {
    "full": (tuple(CORRUPTIONS), None),
    "published": (PUBLISHED, (3,)),
}
# Ratios of errors to a reference's; an error below the least is rounding.
KINDS, LEAST_ERROR = ("ce", "relative_ce"), 1e-3
# Of the time: reading the images, predicting and scoring, for the time left.
SHARES = (8, 100, 20)
# Quarter turns, and each of them mirrored: see `dihedral`.
TURNS, MIRRORED = (0, 1, 2, 3), (4, 5, 6, 7)

# From the positions of galaxies to named scores.
Score = Callable[[np.ndarray], dict[str, float]]


@dataclass(frozen=True)
class Condition:
    """A corruption and its severity; `clean` has severity 0."""

    corruption: str = CLEAN
    severity: int = 0


@dataclass(frozen=True)
class Subject:
    """A fold's or a run's models, whose mean is judged, its tested galaxies and their frames."""

    models: list[nn.Module]
    recipe: Recipe
    table: pd.DataFrame
    frames: Frames
    rows: np.ndarray

    @cached_property
    def networks(self) -> list[nn.Module]:
        """The models for inference."""
        return [serving_network(model, self.recipe) for model in self.models]

    def batches(self, condition: Condition, view: int = 0) -> Iterator[torch.Tensor]:
        """Yield the model's inputs under a condition, seen in one of the dihedral views."""
        mean, std = (
            torch.tensor(stats).view(1, -1, 1, 1) for stats in pixel_stats(self.recipe.arch)
        )
        device = next(self.models[0].parameters()).device
        for start in range(0, len(self.rows), self.recipe.batch):
            part = slice(start, start + self.recipe.batch)
            frames = self.frames.pixels.read(self.rows[part])
            names = list(self.table["galaxy"].iloc[part])
            batch = (seen_under(frames, names, condition, self.recipe) - mean) / std
            yield dihedral(batch, view).contiguous().to(device)


def robustness_of(
    run: Run,
    suite: str = "full",
    severities: Sequence[int] = SEVERITIES,
    limit: int | None = None,
    views: int | None = None,
    adapt: bool = False,
    data: Path | None = None,
) -> tuple[dict, pd.DataFrame]:
    """Predict a run's tested galaxies clean and corrupted; return scores and every prediction.

    Args:
        run: trained; a cross-validated one takes each galaxy from the fold that tested it.
        suite: in `SUITES`.
        severities: of the full suite.
        limit: test this many galaxies, drawn with the run's seed.
        views: averaged; by itself the run's own in the published suite, and 1 in the full one,
            which is thirty times as long.
        adapt: give each condition's images BatchNorm statistics of their own, see
            `adapt_batchnorm`.
        data: where the run's catalogue is now, if it has moved.

    Returns:
        What `robustness.json` holds, see docs/robustness.md, and a row a galaxy and condition:
        `galaxy`, `label`, `corruption`, `severity`, the prediction, and for classes `flipped`,
        whether the class is another than of the clean image.

    Raises:
        BadInput: the run isn't finished, images are missing, or the network has no BatchNorm.
    """
    names, _ = SUITES[suite]
    settings = robustness_settings(run, suite, severities, views)
    severities, views = settings["severities"], settings["views"]
    with Steps(SHARES) as steps:
        steps.begin()
        subjects = _subjects(run, limit, data)
        conditions = [Condition(), *(Condition(name, s) for name in names for s in severities)]
        galaxies = sum(len(subject.table) for subject in subjects)
        turns = [*TURNS, *MIRRORED]
        total = (len(conditions) * (1 + adapt) + len(turns)) * galaxies
        steps.begin()
        with Progress("robustness", total, "images") as progress:
            tables = side_by_side(
                lambda each: _predicted(run, subjects, each, views, adapt, progress.advance),
                conditions,
            )
            table = pd.concat(tables, ignore_index=True)
            seen = np.stack(
                side_by_side(lambda view: _turned(run, subjects, view, progress.advance), turns)
            )
        steps.begin()
        if target_of(run.recipe).chooses:
            clean = table["predicted"][:galaxies].to_numpy()
            table["flipped"] = table["predicted"].to_numpy() != np.tile(clean, len(conditions))
        scores = {
            **settings,
            "galaxies": galaxies,
            "adapted": adapt,
            "interval": f"{LEVEL:.0%} percentile bootstrap over galaxies, {RESAMPLES} resamples",
            **({} if (nominal := calibrated_coverage(run)) is None else {"nominal": nominal}),
            **_scores(run, table, names, severities),
            "consistency": _consistency(run, seen),
        }
    return scores, table


def robustness_settings(
    run: Run, suite: str, severities: Sequence[int], views: int | None
) -> dict[str, object]:
    """Return what two measurements must have in common to be set against each other."""
    _, fixed = SUITES[suite]
    require_views(run.recipe, views)
    return {
        "suite": suite,
        "severities": list(fixed or sorted(set(severities))),
        "views": views or (run.recipe.views if suite == "published" else 1),
    }


def require_alike(settings: dict, reference: dict, name: str) -> None:
    """Raise BadInput unless a reference was measured with these `robustness_settings`."""
    for key in ("suite", "severities", "views"):
        if settings[key] != reference[key]:
            raise BadInput(
                f"--reference {name}: measured with {key} {reference[key]}, this run with "
                f"{settings[key]}",
                "measure both alike",
            )


def write_robustness(run: Run, scores: dict, table: pd.DataFrame) -> None:
    """Write `robustness.json` and `robustness.parquet` into a run's folder."""
    write_table(run.path / "robustness.parquet", table)
    write_json(run.path / "robustness.json", scores)


def read_robustness(run: Run) -> dict:
    """Return what `robustness` wrote of a run.

    Raises:
        BadInput: it hasn't been measured.
    """
    path = run.path / "robustness.json"
    remedy = f"run `python cli.py robustness {run.path}`"
    if not path.exists():
        raise BadInput(f"{run.path}: its robustness isn't measured", f"{remedy} first")
    return read_json(path)


def corruption_error(
    scores: dict,
    reference: dict,
    name: str,
    errors: np.ndarray | None = None,
    theirs: np.ndarray | None = None,
    seed: int = 0,
) -> dict:
    """Return the corruption errors of a run against a reference's, in which the reference has 1.

    CE of a corruption is the sum of errors over the severities by the reference's sum, relative CE
    the same of errors beyond those of clean images (Hendrycks & Dietterich 2019, section 4.2); the
    error is 1 - accuracy, or, of a tree's answers, their RMSE. A ratio counts where the reference's
    sum is at least as large as the half-width of the interval of its clean error in every severity
    (or 0.001, where that is less): of less, nothing is known but its noise, and the ratio, which is
    None, would be anything. Means are over the corruptions that count, each kind's own.

    Args:
        scores: of the run.
        reference: of the reference, on the same suite and severities.
        name: of the reference.
        errors: of the run, see `galaxy_errors`, for intervals.
        theirs: of the reference.
        seed: of the resampling.

    Returns:
        `run`, the name; `mean_ce` and `mean_relative_ce`, value, low and high (percentile bootstrap
        over galaxies, those of both runs together where they are the same number, of the
        corruptions that count); `counted`, how many do, of `corruptions`; `per_corruption`.

    Raises:
        BadInput: the two measured different things.
    """
    require_alike(scores, reference, name)
    names = list(scores["corruptions"])
    bottoms = np.array([_error_sums(reference, each) for each in names])
    tops = np.array([_error_sums(scores, each) for each in names])
    clean = reference["clean"]["error"]
    floor = max((clean["high"] - clean["low"]) / 2, LEAST_ERROR) * len(scores["severities"])
    counts = bottoms >= floor
    draws = None
    if errors is not None and theirs is not None and len(errors) and len(theirs):
        root = scores["headline"] == "rmse"
        draws = _drawn_ratios(errors, theirs, len(names), root, seed)
    means = {}
    for at, kind in enumerate(KINDS):
        own = counts[:, at]
        value = (tops[own, at] / bottoms[own, at]).mean() if own.any() else np.nan
        if draws is None or not own.any():
            means[f"mean_{kind}"] = {**NOTHING, "value": rounded(value)}
        else:
            means[f"mean_{kind}"] = value_with_interval(value, draws[:, own, at].mean(axis=1))
    return {
        "run": name,
        **means,
        "counted": {kind: int(counts[:, at].sum()) for at, kind in enumerate(KINDS)},
        "corruptions": len(names),
        "per_corruption": {
            corruption: {
                kind: round(tops[row, at] / bottoms[row, at], 4) if counts[row, at] else None
                for at, kind in enumerate(KINDS)
            }
            for row, corruption in enumerate(names)
        },
    }


def galaxy_errors(run: Run) -> np.ndarray:
    """Return what each tested galaxy adds to a measured run's error, shape (n, conditions).

    Clean images come first, then the severities of each corruption. Of classes it is 1 where the
    class is wrong; of a tree the mean square error of answers, of which the root of the mean over
    galaxies is the error.

    Raises:
        BadInput: the run's robustness isn't measured, or its table is damaged.
    """
    path, again = run.path / "robustness.parquet", f"run `python cli.py robustness {run.path}`"
    if not path.exists():
        raise BadInput(f"{path} isn't there", f"{again} again")
    with reading(path, f"{again} again"):
        table = pd.read_parquet(path)
        if target_of(run.recipe).chooses:
            each = (table["label"] != table["predicted"]).to_numpy(float)
        else:
            each = square_errors(target_of(run.recipe).tree, *true_and_predicted(run, table))
        return each.reshape(len(table.groupby(["corruption", "severity"])), -1).T


def _drawn_ratios(
    ours: np.ndarray, theirs: np.ndarray, corruptions: int, root: bool, seed: int
) -> np.ndarray:
    """Return CE and relative CE of resamples of galaxies, shape (RESAMPLES, corruptions, 2).

    Args:
        ours: see `galaxy_errors`.
        theirs: of the reference.
        corruptions: how many there are.
        root: whether the error is the root of the mean.
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)

    def drawn(n: int) -> np.ndarray:
        return rng.multinomial(n, np.full(n, 1 / n), RESAMPLES)

    weights = drawn(len(ours))
    others = weights if len(ours) == len(theirs) else drawn(len(theirs))
    sums = []
    for times, errors in ((weights, ours), (others, theirs)):
        mean = times @ errors / len(errors)
        mean = np.sqrt(mean) if root else mean
        beyond = mean[:, 1:].reshape(RESAMPLES, corruptions, -1)
        relative = beyond - mean[:, :1, None]
        sums.append(np.stack([beyond.sum(axis=2), relative.sum(axis=2)], axis=2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums[0] / sums[1]


def seen_under(
    frames: np.ndarray, galaxies: Sequence[str], condition: Condition, recipe: Recipe
) -> torch.Tensor:
    """Return frames as the model sees them, corrupted but not normalised, values 0 to 1.

    Args:
        frames: uint8 of shape (n, side, side, 3), with their margin: see `item_frame`.
        galaxies: their names.
        condition: what happens to them.
        recipe: of the model.
    """
    batch = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    if condition.severity:
        batch = corrupt(
            batch, condition.corruption, condition.severity, galaxies,
            frame_scale(recipe.size, recipe.crop),
        )  # fmt: skip
    start = (batch.shape[-1] - recipe.size) // 2
    return batch[..., start : start + recipe.size, start : start + recipe.size]


def calibration_error(confidence: np.ndarray, correct: np.ndarray, debiased: bool = False) -> float:
    """Return the expected calibration error in bins of equal width (Guo et al. 2017, eq. 3).

    Args:
        confidence: of the predicted class, shape (n,).
        correct: whether it is right, shape (n,).
        debiased: see `binned_error`.
    """
    return binned_error(binned(confidence, correct, equal_width(confidence)), debiased)


def _error_sums(scores: dict, corruption: str) -> tuple[float, float]:
    """Return the sum of errors over the severities, and of what is beyond the clean images'."""
    severities = scores["corruptions"][corruption]["severities"].values()
    errors = np.array([each["error"]["value"] for each in severities])
    return float(errors.sum()), float((errors - scores["clean"]["error"]["value"]).sum())


def _subjects(run: Run, limit: int | None, data: Path | None) -> list[Subject]:
    tested = run.predictions("test").drop_duplicates("galaxy")["galaxy"]
    if limit and limit < len(tested):
        tested = tested.sample(limit, random_state=run.recipe.seed)
    chosen, subjects = set(tested), []
    for member in run.splits:
        known = ["galaxy", "image", "label", *true_columns(run.recipe, run.classes)]
        table = member.predictions("test")[known]
        table = table[table["galaxy"].isin(chosen)].reset_index(drop=True)
        if not len(table):
            continue
        table = with_images(table, data)
        frames, found = cached_frames(
            list(table["image"]), *item_frame(run.recipe), run.recipe.rendering
        )
        for inspection in found:
            if inspection.fault:
                raise BadInput(inspection.fault)
        rows = np.array([frames.rows[inspection.digest] for inspection in found])
        subjects.append(
            Subject(
                [load_network(each) for each in member.members], run.recipe, table, frames, rows
            )
        )
    for subject in subjects:
        # Before threads ask for them at once.
        _ = subject.networks
    return subjects


def _predicted(
    run: Run,
    subjects: list[Subject],
    condition: Condition,
    views: int,
    adapt: bool,
    seen: Callable[[int], object],
) -> pd.DataFrame:
    activate, found = make_link(run.recipe).activate, []
    for subject in subjects:
        networks = subject.networks
        if adapt:
            adapted = [
                adapt_batchnorm(model, subject.batches(condition), seen) for model in subject.models
            ]
            networks = [serving_network(model, run.recipe) for model in adapted]
        batches = subject.batches(condition)
        found.append(infer(networks, batches, views, activate, seen))
    known = pd.concat([subject.table for subject in subjects], ignore_index=True)
    known = known.drop(columns="image").assign(**asdict(condition))
    said = prediction_table(np.concatenate(found), run.recipe, run.classes)
    return pd.concat([known, said], axis=1)


def _turned(
    run: Run, subjects: list[Subject], view: int, seen: Callable[[int], object]
) -> np.ndarray:
    """Return predictions of the clean images in one dihedral view, shape (n, outputs)."""
    activate = make_link(run.recipe).activate
    parts = [
        infer(subject.networks, subject.batches(Condition(), view), 1, activate, seen)
        for subject in subjects
    ]
    return np.concatenate(parts)


def _scores(run: Run, table: pd.DataFrame, names: Sequence[str], severities: Sequence[int]) -> dict:
    """Return the scores of the clean images and of every corruption and severity."""
    parts = dict(iter(table.groupby(["corruption", "severity"])))
    clean = _scorer(run, parts[CLEAN, 0])
    headline, sign = HEADLINES[target_of(run.recipe).metrics[0]]

    def against_clean(score: Score) -> Score:
        def both(rows: np.ndarray) -> dict[str, float]:
            now, before = score(rows), clean(rows)
            return {**now, "drop": sign * (before[headline] - now[headline])}

        return both

    corruptions = {}
    for name in names:
        corruption = CORRUPTIONS[name]
        found = {
            str(severity): {
                "strength": corruption.strengths[severity - 1],
                **_with_intervals(run, parts[name, severity], against_clean),
            }
            for severity in severities
        }
        means = {
            score: _mean(each[score]["value"] for each in found.values())
            for score in next(iter(found.values()))
            if score != "strength"
        }
        corruptions[name] = {
            "unit": corruption.strength,
            "severities": found,
            "mean": means,
        }
    return {
        "headline": headline,
        "clean": _with_intervals(run, parts[CLEAN, 0]),
        "corruptions": corruptions,
        "mean_drop": _mean(found["mean"]["drop"] for found in corruptions.values()),
    }


def _with_intervals(
    run: Run, table: pd.DataFrame, beside: Callable[[Score], Score] = lambda score: score
) -> dict[str, dict]:
    """Return the scores of a condition's predictions with intervals.

    Args:
        run: trained.
        table: of the condition's predictions.
        beside: from the scores to these and others.
    """
    score, seed = beside(_scorer(run, table)), run.recipe.seed
    found = bootstrap(score, len(table), seed, ("ece",))
    if "ece" in found:
        band = confidence_band(table["confidence"].to_numpy(float), seed)
        found["ece"] = from_zero(found["ece"], band)
    return found


def _scorer(run: Run, table: pd.DataFrame) -> Score:
    """Return the scores of a condition's predictions, as a function of the galaxies' positions."""
    scorers = [SCORERS[family](run, table) for family in target_of(run.recipe).metrics]

    def score(rows: np.ndarray) -> dict[str, float]:
        found = {name: value for each in scorers for name, value in each(rows).items()}
        error = 1 - found["accuracy"] if "accuracy" in found else found["rmse"]
        return {**found, "error": error}

    return score


def _class_scorer(run: Run, table: pd.DataFrame) -> Score:
    of_classes = class_scorer(table, run.classes)
    confidence = table["confidence"].to_numpy(float)
    correct = (table["label"] == table["predicted"]).to_numpy(float)
    sets = _sets(run, table)

    def score(rows: np.ndarray) -> dict[str, float]:
        found = of_classes(rows)
        return {
            "macro_f1": found["macro_f1"],
            "accuracy": found["accuracy"],
            "ece": calibration_error(confidence[rows], correct[rows], debiased=True),
            **{name: values[rows].mean() for name, values in sets.items()},
        }

    return score


def _sets(run: Run, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return, of a calibrated run, whether each prediction set holds the true class, and its size.

    The sets are those that `calibrate` gave the run, by thresholds from clean images.
    """
    found = sets_record(run)
    if not found:
        return {}
    probabilities = table[predicted_columns(run.recipe, run.classes)].to_numpy(float)
    thresholds = found["thresholds"][_fold_of(run, table, len(found["thresholds"]))]
    sets = prediction_sets(probabilities, thresholds, found["method"])
    truth = pd.Index(run.classes).get_indexer(table["label"])
    held = sets[np.arange(len(sets)), truth].astype(float)
    return {"set_coverage": held, "set_size": sets.sum(axis=1).astype(float)}


def _fold_of(run: Run, table: pd.DataFrame, folds: int) -> np.ndarray:
    """Return the position of the fold that tested each galaxy, shape (n,)."""
    if folds == 1:
        return np.zeros(len(table), int)
    tested = run.predictions("test").drop_duplicates("galaxy").set_index("galaxy")["fold"]
    return tested.loc[table["galaxy"]].to_numpy(int) - 1


def _distribution_scorer(run: Run, table: pd.DataFrame) -> Score:
    divergence = kl_divergence(*true_and_predicted(run, table))
    return lambda rows: {"kl": divergence[rows].mean()}


def _tree_scorer(run: Run, table: pd.DataFrame) -> Score:
    true, predicted = true_and_predicted(run, table)
    squares = square_errors(target_of(run.recipe).tree, true, predicted)
    return lambda rows: {"rmse": np.sqrt(squares[rows].mean())}


# A family of scores, see `judge.metrics`: its scores here, and the one that a drop is told by,
# with 1 where more is better and -1 where less is.
SCORERS: dict[str, Callable[[Run, pd.DataFrame], Score]] = {
    "classification": _class_scorer,
    "distribution": _distribution_scorer,
    "tree": _tree_scorer,
}
HEADLINES = {"classification": ("macro_f1", 1), "distribution": ("kl", -1), "tree": ("rmse", -1)}


def _consistency(run: Run, seen: np.ndarray) -> dict:
    """Return how far turning and mirroring change the predictions, shape (8, n, outputs).

    `spread` is the mean over galaxies and outputs of the standard deviation over the views;
    `agree`, for classes, the share of galaxies whose class is the same in all of them.
    """
    pairs = {"rotation": seen[: len(TURNS)][:, None], "mirroring": np.stack(np.split(seen, 2))}
    found = {}
    for name, views in pairs.items():
        spread = views.std(axis=0).mean(axis=(0, 2))
        scores = {"spread": spread}
        if target_of(run.recipe).chooses:
            codes = views.argmax(axis=-1)
            scores["agree"] = (codes == codes[0]).all(axis=0).all(axis=0).astype(float)
        found[name] = bootstrap(
            lambda rows, scores=scores: {key: each[rows].mean() for key, each in scores.items()},
            seen.shape[1],
            run.recipe.seed,
        )
    return found


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 4) if known else None
