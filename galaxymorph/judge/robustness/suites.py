"""What a run's predictions are worth when the images get worse: corruptions by severities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pandas as pd
import torch
from torch import nn

from galaxymorph.base import (
    BadInput,
    Damaged,
    Progress,
    Steps,
    read_json,
    read_parquet,
    reading,
    write_json,
)
from galaxymorph.images import (
    CORRUPTIONS,
    PUBLISHED,
    SEVERITIES,
    Frames,
    cached_frames,
    corrupt,
    frame_scale,
)
from galaxymorph.judge.calibration.conformal import prediction_sets, set_intervals
from galaxymorph.judge.calibration.reliability import (
    binned,
    binned_error,
    confidence_band,
    from_zero,
    width_bins,
)
from galaxymorph.judge.calibration.run_calibration import (
    calibrated_coverage,
    load_calibrators,
    prediction_kind,
    sets_record,
)
from galaxymorph.judge.metrics.bootstrap import (
    RESAMPLES,
    Interval,
    bootstrap,
    interval,
    proportion,
    unknown,
    value_with_interval,
)
from galaxymorph.judge.metrics.metric import (
    METRICS,
    Metric,
    Predictions,
    headline_of,
    metrics_of,
    tree_of,
    true_and_predicted,
    true_codes,
)
from galaxymorph.judge.metrics.run_metrics import interval_note
from galaxymorph.judge.metrics.vote_fractions import square_errors
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
SUITES: dict[str, tuple[Iterable[str], tuple[int, ...] | None]] = {
    "full": (CORRUPTIONS, None),
    "published": (PUBLISHED, (3,)),
}
# Ratios of errors to a reference's; an error below the least is rounding.
KINDS, LEAST_ERROR = ("ce", "relative_ce"), 1e-3
# Of the time: reading the images, predicting and scoring, for the time left.
SHARES = (8, 100, 20)
# Quarter turns, and each of them mirrored: see `dihedral`.
TURNS, MIRRORED = (0, 1, 2, 3), (4, 5, 6, 7)


@dataclass(frozen=True)
class Condition:
    """A corruption and its severity; `clean` has severity 0."""

    corruption: str = CLEAN
    severity: int = 0


@dataclass(frozen=True)
class TestedModels:
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
            batch = (corrupted_inputs(frames, names, condition, self.recipe) - mean) / std
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
        views: averaged; by default the run's own in the published suite, and 1 in the full one,
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
    names = tuple(SUITES[suite][0])
    settings = robustness_settings(run, suite, severities, views)
    with Steps(SHARES) as steps:
        steps.begin()
        subjects = _subjects(run, limit, data)
        conditions = [
            Condition(),
            *(Condition(name, severity) for name in names for severity in settings["severities"]),
        ]
        steps.begin()
        table, turned = _predict_all(run, subjects, conditions, settings["views"], adapt)
        steps.begin()
        galaxies = turned.shape[1]
        if target_of(run.recipe).chooses:
            clean = table["predicted"][:galaxies].to_numpy()
            table["flipped"] = table["predicted"].to_numpy() != np.tile(clean, len(conditions))
        nominal = calibrated_coverage(run)
        scores = {
            **settings,
            "galaxies": galaxies,
            "adapted": adapt,
            "probabilities": prediction_kind(run),
            "interval": interval_note(target_of(run.recipe)),
            **({} if nominal is None else {"nominal": nominal}),
            **_scores(run, table, names, settings["severities"]),
            "consistency": _consistency(run, turned),
        }
    return scores, table


def _predict_all(
    run: Run, subjects: list[TestedModels], conditions: list[Condition], views: int, adapt: bool
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return predictions under each condition, and those of clean images in each dihedral view.

    A row a galaxy and condition, in the order of conditions; and shape (8, n, outputs).
    """
    galaxies = sum(len(subject.table) for subject in subjects)
    turns = [*TURNS, *MIRRORED]
    total = (len(conditions) * (1 + adapt) + len(turns)) * galaxies
    with Progress("robustness", total, "images") as progress:
        tables = side_by_side(
            lambda each: _predicted(run, subjects, each, views, adapt, progress.advance), conditions
        )
        turned = side_by_side(lambda view: _turned(run, subjects, view, progress.advance), turns)
    return pd.concat(tables, ignore_index=True), np.stack(turned)


class Settings(TypedDict):
    """What two measurements must have in common to be set against each other."""

    suite: str
    severities: list[int]
    views: int


def robustness_settings(
    run: Run, suite: str, severities: Sequence[int], views: int | None
) -> Settings:
    """Return the `Settings` of a measurement."""
    _, fixed = SUITES[suite]
    require_views(run.recipe, views)
    return {
        "suite": suite,
        "severities": list(fixed or sorted(set(severities))),
        "views": views or (run.recipe.views if suite == "published" else 1),
    }


def require_alike(settings: Mapping[str, Any], reference: Mapping[str, Any], name: str) -> None:
    """Raise BadInput unless a reference was measured with these `robustness_settings`."""
    for key in Settings.__annotations__:
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
    sum is at least the half-width of the interval of its clean error in every severity, or 0.001:
    less is noise, and the ratio is None. Means are over the corruptions that count.

    Args:
        scores: of the run.
        reference: of the reference, on the same suite and severities.
        name: of the reference.
        errors: of the run, see `galaxy_errors`, for intervals.
        theirs: of the reference.
        seed: of the resampling.

    Returns:
        `run`, the name; `mean_ce` and `mean_relative_ce` with intervals (percentile bootstrap over
        galaxies, of both runs together where they are as many); `counted`, of `corruptions`;
        `per_corruption`.

    Raises:
        BadInput: the two measured different things.
    """
    require_alike(scores, reference, name)
    names = list(scores["corruptions"])
    bottoms = np.array([_error_sums(reference, each) for each in names])
    tops = np.array([_error_sums(scores, each) for each in names])
    counts = bottoms >= _error_floor(reference)
    ratios = np.divide(tops, bottoms, out=np.full_like(tops, np.nan), where=counts)
    draws = None
    if errors is not None and theirs is not None and len(errors) and len(theirs):
        draws = _drawn_ratios(errors, theirs, len(names), scores["headline"] == "rmse", seed)
    means = {
        f"mean_{kind}": _mean_ratio(
            ratios[counts[:, at], at], None if draws is None else draws[:, counts[:, at], at]
        )
        for at, kind in enumerate(KINDS)
    }
    return {
        "run": name,
        **means,
        "counted": {kind: int(counts[:, at].sum()) for at, kind in enumerate(KINDS)},
        "corruptions": len(names),
        "per_corruption": {
            corruption: {
                kind: round(ratio, 4) if counted else None
                for kind, ratio, counted in zip(KINDS, *row, strict=True)
            }
            for corruption, *row in zip(names, ratios, counts, strict=True)
        },
    }


def _error_floor(reference: dict) -> float:
    """Return the least sum of errors over the severities that counts, see `corruption_error`."""
    clean = reference["clean"]["error"]
    width = clean["high"] - clean["low"]
    return max(width / 2, LEAST_ERROR) * len(reference["severities"])


def _mean_ratio(ratios: np.ndarray, draws: np.ndarray | None) -> Interval:
    """Return the mean over corruptions of ratios, with the interval that their draws give."""
    if not len(ratios):
        return unknown()
    if draws is None:
        return interval(ratios.mean(), np.nan, np.nan)
    return value_with_interval(ratios.mean(), draws.mean(axis=1))


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
    columns = ["corruption", "severity", "label", "predicted"]
    if not target_of(run.recipe).chooses:
        columns[2:] = predicted_columns(run.recipe, run.classes)
    table = read_parquet(path, columns, f"{again} again")
    conditions = len(table.groupby(["corruption", "severity"]))
    with reading(path, f"{again} again"):
        if not conditions or len(table) % conditions:
            raise Damaged("its conditions aren't of the same galaxies")
    if target_of(run.recipe).chooses:
        each = (table["label"] != table["predicted"]).to_numpy(float)
    else:
        each = _tree_squares(run, table)
    return each.reshape(conditions, -1).T


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


def corrupted_inputs(
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
            batch,
            condition.corruption,
            condition.severity,
            galaxies,
            frame_scale(recipe.size, recipe.crop),
        )
    start = (batch.shape[-1] - recipe.size) // 2
    return batch[..., start : start + recipe.size, start : start + recipe.size]


def calibration_error(confidence: np.ndarray, correct: np.ndarray, debiased: bool = False) -> float:
    """Return the expected calibration error in bins of equal width (Guo et al. 2017, eq. 3).

    Args:
        confidence: of the predicted class, shape (n,).
        correct: whether it is right, shape (n,).
        debiased: see `binned_error`.
    """
    return binned_error(binned(confidence, correct, width_bins(confidence)), debiased)


def _error_sums(scores: dict, corruption: str) -> tuple[float, float]:
    """Return the sum of errors over the severities, and of what is beyond the clean images'."""
    severities = scores["corruptions"][corruption]["severities"].values()
    errors = np.array([each["error"]["value"] for each in severities])
    return float(errors.sum()), float((errors - scores["clean"]["error"]["value"]).sum())


def _subjects(run: Run, limit: int | None, data: Path | None) -> list[TestedModels]:
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
            TestedModels(
                [load_network(each) for each in member.members], run.recipe, table, frames, rows
            )
        )
    for subject in subjects:
        # Before threads ask for them at once.
        _ = subject.networks
    return subjects


def _predicted(
    run: Run,
    subjects: list[TestedModels],
    condition: Condition,
    views: int,
    adapt: bool,
    seen: Callable[[int], object],
) -> pd.DataFrame:
    activate, found = make_link(run.recipe).inverse_link, []
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
    run: Run, subjects: list[TestedModels], view: int, seen: Callable[[int], object]
) -> np.ndarray:
    """Return predictions of the clean images in one dihedral view, shape (n, outputs)."""
    activate = make_link(run.recipe).inverse_link
    parts = [
        infer(subject.networks, subject.batches(Condition(), view), 1, activate, seen)
        for subject in subjects
    ]
    return np.concatenate(parts)


def _scores(run: Run, table: pd.DataFrame, names: Sequence[str], severities: Sequence[int]) -> dict:
    """Return the scores of the clean images and of every corruption and severity."""
    parts = dict(iter(table.groupby(["corruption", "severity"])))
    clean, headline = parts[CLEAN, 0], headline_of(target_of(run.recipe))
    judged = Predictions.of(run, clean)
    corruptions: dict[str, Any] = {}
    for name in names:
        corruption = CORRUPTIONS[name]
        found: dict[str, dict] = {
            str(severity): {
                "strength": corruption.strengths[severity - 1],
                **_condition_scores(run, parts[name, severity]),
                "drop": METRICS[headline].loss(judged, Predictions.of(run, parts[name, severity])),
            }
            for severity in severities
        }
        means = {
            score: _mean(each[score]["value"] for each in found.values())
            for score in next(iter(found.values()))
            if score != "strength"
        }
        corruptions[name] = {"unit": corruption.strength, "severities": found, "mean": means}
    return {
        "headline": headline,
        "clean": _condition_scores(run, clean),
        "corruptions": corruptions,
        "mean_drop": _mean(found["mean"]["drop"] for found in corruptions.values()),
    }


def _condition_scores(run: Run, table: pd.DataFrame) -> dict[str, Interval]:
    """Return the scores of a condition's predictions with intervals."""
    target, predictions = target_of(run.recipe), Predictions.of(run, table)
    found = {
        name: metric.judge(predictions)
        for name, metric in metrics_of(target.metrics).items()
        if metric.headline
    }
    if not target.chooses:
        return found | {"error": found[headline_of(target)]}
    counts = predictions.confusion
    wrong = counts.sum() - counts.diagonal().sum()
    return found | {
        "accuracy": METRICS["accuracy"].judge(predictions),
        "error": proportion(wrong, counts.sum()),
        "ece": _calibration_interval(*_served_confidence(run, table), run.recipe.seed),
        **_set_scores(run, table),
    }


def _served_confidence(run: Run, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the confidence that `predict` gives and whether its class is right, shape (n,) each.

    They are of calibrated probabilities if the run is calibrated, each galaxy's by its fold.
    """
    probabilities = table[predicted_columns(run.recipe, run.classes)].to_numpy(float)
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    calibrators = load_calibrators(run)
    if calibrators is not None:
        folds = _fold_of(run, table, len(calibrators))
        for fold, calibrator in enumerate(calibrators):
            probabilities[folds == fold] = calibrator(probabilities[folds == fold])
    truth = true_codes(table, run.classes)
    return probabilities.max(axis=1), (probabilities.argmax(axis=1) == truth).astype(float)


def _calibration_interval(confidence: np.ndarray, correct: np.ndarray, seed: int) -> Interval:
    """Return the debiased calibration error with its interval, as `calibration_intervals` has."""
    found = bootstrap(
        lambda rows: {"ece": calibration_error(confidence[rows], correct[rows], debiased=True)},
        len(confidence),
        seed,
        ("ece",),
    )
    return from_zero(found["ece"], confidence_band(confidence, seed))


def _set_scores(run: Run, table: pd.DataFrame) -> dict[str, Interval]:
    """Return, of a calibrated run, how many prediction sets hold the true class, and their size.

    The sets are those that `calibrate` gave the run, by thresholds from clean images.
    """
    found = sets_record(run)
    if not found:
        return {}
    probabilities = table[predicted_columns(run.recipe, run.classes)].to_numpy(float)
    thresholds = found["thresholds"][_fold_of(run, table, len(found["thresholds"]))]
    sets = prediction_sets(probabilities, thresholds, found["method"])
    truth = true_codes(table, run.classes)
    scores = set_intervals(sets, truth, run.recipe.seed)
    return {"set_coverage": scores["coverage"], "set_size": scores["size"]}


def _fold_of(run: Run, table: pd.DataFrame, folds: int) -> np.ndarray:
    """Return the position of the fold that tested each galaxy, shape (n,)."""
    if folds == 1:
        return np.zeros(len(table), int)
    tested = run.predictions("test").drop_duplicates("galaxy").set_index("galaxy")["fold"]
    return tested.loc[table["galaxy"]].to_numpy(int) - 1


def _tree_squares(run: Run, table: pd.DataFrame) -> np.ndarray:
    return square_errors(tree_of(run), *true_and_predicted(run, table))


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
        found[name] = bootstrap(partial(_means_of, scores), seen.shape[1], run.recipe.seed)
    return found


def _means_of(scores: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, float]:
    return {name: values[rows].mean() for name, values in scores.items()}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 4) if known else None


for name, metric in {
    "drop": Metric("loss of score", "clean minus corrupted, or the rise of an error", "less"),
    "mean_drop": Metric("mean drop", "over corruptions and severities", "less"),
    "error": Metric("error", "1 - accuracy, or RMSE", "less"),
    "ece": Metric("calibration error", "in bins of equal width", "less", (0.0, 1.0), short="ECE"),
    "set_coverage": Metric(
        "coverage of prediction sets",
        "share of prediction sets with the true class",
        "nominal",
        (0.0, 1.0),
        short="sets that hold it",
    ),
    "set_size": Metric(
        "size of prediction sets", "mean number of classes in one", "less", short="set size"
    ),
    "ce": Metric("corruption error", "error by a reference's", "less"),
    "relative_ce": Metric(
        "relative corruption error", "error beyond clean, by a reference's", "less"
    ),
    "mean_ce": Metric("mean corruption error", "over corruptions", "less"),
    "mean_relative_ce": Metric("mean relative corruption error", "over corruptions", "less"),
    "spread": Metric("spread", "standard deviation of predictions over views", "less", digits=4),
    "agree": Metric("agree", "share of galaxies of one class in all views", "greater", (0.0, 1.0)),
}.items():
    METRICS.register(name, metric)
