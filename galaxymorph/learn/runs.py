"""The folder of a run: its record, split, history and predictions, and the lock on it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galaxymorph import __version__
from galaxymorph.base import (
    BadInput,
    Damaged,
    file_lock,
    loaded_plugins,
    near_names,
    read_csv,
    read_json,
    read_parquet,
    reading,
    replace_folder,
    replacing,
    require,
    require_key,
    require_words,
    setting,
    warn_once,
    write_json,
)
from galaxymorph.images import Rendering
from galaxymorph.learn.recipe import (
    Recipe,
    naming_missing_plugins,
    recipe_from_dict,
    recipe_to_dict,
)
from galaxymorph.learn.run_files import (
    EMBEDDINGS,
    ENVIRONMENT,
    FORMER_FILES,
    HISTORY,
    METRICS,
    RECIPE,
    SPLIT,
    TRAIN_MEANS,
    predictions_file,
)
from galaxymorph.learn.targets.columns import output_names, predicted_columns
from galaxymorph.zoo.columns import COUNT, TARGET, TEST, TRAIN, VALID

# 2: the setting body_lr is trunk_lr; dropout and weights are resolved. 3: split.csv has a digest of
# each galaxy's votes instead of the votes, and plugins are recorded.
FORMAT = 3
READS = (1, 2, 3)
# The origin of a run's galaxies.
DATA = ("path", "source", "fingerprint")
SPLIT_COLUMNS = ("galaxy", "image", "label", "split", "digest")
SOURCES_COLUMNS = ("galaxy", "image", "source", "weight", "digest")
# Optional columns: of soft targets, of cross-validation.
MORE_SPLIT_COLUMNS = ("votes", "fold")
PACKAGES = (
    "fastai",
    "fastcore",
    "numpy",
    "pandas",
    "pillow",
    "scikit-learn",
    "timm",
    "torch",
    "torchvision",
)


@dataclass(frozen=True)
class Run:
    """A fit's folder.

    A cross-validated run has such a folder for each fold under `folds/`, a deep ensemble one for
    each model under `members/`.
    """

    path: Path
    # In place of the recipe's, see `rendered`.
    rendering: Rendering | None = None

    def rendered(self, stretch: str | None = None, bands: str | None = None) -> Run:
        """Return the run with another rendering of FITS in its recipe.

        Raises:
            BadInput: it isn't a run, or the stretch is unknown.
        """
        if stretch is None and bands is None:
            return self
        rendering = self.recipe.rendering.changed(stretch, bands)
        # That of flux is fixed.
        return self if rendering.flux else Run(self.path, rendering)

    @property
    def checkpoints(self) -> Path:
        """The folder of the best weights and of the latest epoch's state."""
        return self.path / "checkpoints"

    @property
    def figures(self) -> Path:
        """The folder of the pictures."""
        return self.path / "figures"

    @cached_property
    def _record(self) -> dict:
        path = self.path / RECIPE
        if not path.exists():
            what = "not a run (it has no recipe.json)" if self.path.exists() else "no such run"
            raise BadInput(f"{self.path}: {what}", _near_run(self.path))
        record = read_json(path)
        if record.get("format") not in READS:
            raise BadInput(
                f"{path}: format {record.get('format')!r}, and this version reads "
                f"{', '.join(map(str, READS))}",
                "use the galaxymorph version in its environment.json",
            )
        with reading(path):
            require_words(record.get("classes"), "classes")
            data = require_key(record, "data", dict)
            for key in DATA:
                require_key(data, key, str)
            require_key(record, "recipe", dict)
            require(record.get("judged", {}), dict, "judged")
        return record

    @cached_property
    def recipe(self) -> Recipe:
        """The settings, with which the run can be trained again."""
        with naming_missing_plugins(self._record.get("plugins", [])):
            recipe = recipe_from_dict(self._record, str(self.path / RECIPE))
        if self.rendering is None:
            return recipe
        return replace(recipe, stretch=self.rendering.stretch, bands=self.rendering.bands)

    @property
    def classes(self) -> list[str]:
        """The classes, in order; the split is stratified by them."""
        return self._record["classes"]

    @property
    def outputs(self) -> list[str]:
        """The names of the model's outputs: the classes, or the answers of a tree."""
        return output_names(self.recipe, self.classes)

    @property
    def data(self) -> dict[str, str]:
        """The origin of the galaxies: `path`, `source` and `fingerprint`; of votes `fractions`."""
        return self._record["data"]

    @property
    def judged(self) -> dict[str, Any] | None:
        """The table that the predictions are from, see `judge.tables`; None of a fit's run."""
        return self._record.get("judged")

    def require_model(self) -> None:
        """Raise BadInput unless the fit has ended and its model is here, not a table's."""
        self.require_trained()
        if self.judged is not None:
            raise BadInput(
                f"{self.path}: made by judge from a table of predictions, so there is no network",
                "give a run of fit; `calibrate --apply TABLE` is for further predictions",
            )

    @property
    def scored_parts(self) -> list[str]:
        """The parts with metrics, of `valid` and `test`; a judged table may have no `valid`."""
        parts = (VALID, TEST)
        return [part for part in parts if (self.path / predictions_file(part)).exists()]

    @property
    def is_simulated(self) -> bool:
        """Whether the galaxies were simulated; False if their catalogue isn't there any more."""
        from galaxymorph.survey.simulation import SETTINGS

        return (Path(self.data["source"]).parent / SETTINGS).exists()

    @cached_property
    def folds(self) -> list[Run]:
        """The folds' runs, none for a run with one split."""
        return [
            Run(self.path / "folds" / str(n + 1), self.rendering) for n in range(self.recipe.folds)
        ]

    @cached_property
    def ensemble(self) -> list[Run]:
        """The runs of a deep ensemble's models, none for a run with one."""
        count = self.recipe.members
        names = [str(n + 1) for n in range(count)] if count > 1 else []
        return [Run(self.path / "members" / name, self.rendering) for name in names]

    @property
    def members(self) -> list[Run]:
        """The runs with one model each: the folds, those of an ensemble, or the run itself."""
        return self.folds or self.ensemble or [self]

    @property
    def part_word(self) -> str:
        """The word for one of several `members`: fold or member; empty if there is one."""
        return "fold" if self.folds else "member" if self.ensemble else ""

    @property
    def splits(self) -> list[Run]:
        """The runs whose test parts have no galaxy in common: the folds, or the run itself."""
        return self.folds or [self]

    @cached_property
    def split(self) -> pd.DataFrame:
        """`split.csv`: galaxy, image, label, split and the image's digest, in the order drawn.

        For a soft target there is `votes`, a digest of each galaxy's votes; before format 3, the
        votes.
        """
        path = self.path / SPLIT
        # pandas parses numbers exactly since its version 3 only.
        table = read_csv(path, SPLIT_COLUMNS, dtype=str, keep_default_na=False)
        kinds = dict.fromkeys(target_columns(table), float) | {"fold": int}
        with reading(path):
            try:
                table = table.astype({name: kind for name, kind in kinds.items() if name in table})
            except ValueError as error:
                raise Damaged(error) from error
            if fingerprint(table, self.data) != self.data["fingerprint"]:
                raise Damaged("its galaxies aren't those of the fingerprint in recipe.json")
        return table

    def train_means(self, columns: Sequence[str]) -> np.ndarray:
        """Return the means of soft targets over the training galaxies, shape (columns,)."""
        split = self.split
        if set(columns) <= set(split):
            return _train_means(split, columns)
        path = self.path / TRAIN_MEANS
        means = read_json(path)
        with reading(path):
            return np.array([require(means.get(name, math.nan), float, name) for name in columns])

    @property
    def history(self) -> pd.DataFrame | None:
        """`history.csv`: losses and validation metrics of each epoch; None if it is missing."""
        path = self.path / HISTORY
        if not path.exists():
            return None
        return read_csv(path, ("stage", "epoch", "train_loss", "valid_loss"))

    @property
    def has_embeddings(self) -> bool:
        """Whether the run has the embeddings of its galaxies; early versions wrote none."""
        return (self.members[0].path / EMBEDDINGS).exists()

    @property
    def is_trained(self) -> bool:
        """Whether the fit has ended: the predictions are the last file that it writes."""
        return (self.path / predictions_file(TEST)).exists()

    def require_trained(self) -> None:
        """Raise BadInput unless the fit has ended."""
        if not self.is_trained and self._record:
            raise BadInput(
                f"{self.path}: the fit isn't finished",
                f"continue it with `fit --resume {self.path}`",
            )

    def predictions(self, part: str) -> pd.DataFrame:
        """Return galaxy, image, label, vote fractions and predictions of a part.

        Vote fractions are `target_<output>`, for soft targets; for predictions see
        `prediction_table`.
        """
        self.require_trained()
        path = self.path / predictions_file(part)
        if self.judged is not None and not path.exists():
            raise BadInput(
                f"{self.path}: the judged table has no {part} part", "see its parts in split.csv"
            )
        return read_parquet(
            path, ("galaxy", "label", *predicted_columns(self.recipe, self.classes))
        )


def _near_run(path: Path) -> str:
    """Return a remedy for a path that is no run: a run with a similar name, if there is one."""
    for folder in (path.parent, Path("exports")):
        runs = [record.parent.name for record in sorted(folder.glob("*/recipe.json"))]
        if not path.exists() and (near := near_names(path.name, runs, most=1)):
            return f"did you mean {folder / near[0]}?"
    return "give a folder in exports/"


@contextmanager
def new_run_folder(path: Path, is_fit: bool = True) -> Iterator[Path]:
    """Yield a temporary folder that becomes the run's if the block succeeds.

    Args:
        path: of the run.
        is_fit: whether it is trained, which an interruption may have ended.

    Raises:
        BadInput: the run's folder exists already or can't be made.
    """
    if path.exists():
        raise BadInput(
            f"{path} exists already",
            (f"continue it with `fit --resume {path}`, or " if is_fit else "")
            + f"choose another {setting('name')}",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"{path}: can't be made ({error.strerror})", f"choose another {setting('out')}"
        ) from None
    with replace_folder(path) as temporary:
        yield temporary


def create_run(
    path: Path,
    recipe: Recipe,
    classes: list[str],
    data: dict[str, str],
    judged: Mapping[str, Any] | None = None,
) -> Run:
    """Write `recipe.json` and `environment.json` into a new or empty folder.

    Args:
        path: of the folder.
        recipe: of the run.
        classes: in order.
        data: the origin of its galaxies.
        judged: the table that its predictions are from, if they are of no fit.
    """
    for folder in (path, path / "checkpoints", path / "figures"):
        folder.mkdir(parents=True, exist_ok=True)
    write_json(path / ENVIRONMENT, environment())
    write_json(
        path / RECIPE,
        {
            "format": FORMAT,
            "recipe": recipe_to_dict(recipe),
            "classes": list(classes),
            "data": data,
            "plugins": list(loaded_plugins()),
            **({} if judged is None else {"judged": dict(judged)}),
        },
    )
    return Run(path)


def free_name(parent: Path, stem: str) -> Path:
    """Return `parent/stem`, or the first with -2, -3, … appended that doesn't exist."""
    path, n = parent / stem, 2
    while path.exists():
        path, n = parent / f"{stem}-{n}", n + 1
    return path


@contextmanager
def locked(run: Run) -> Iterator[None]:
    """Lock the run for this process.

    Raises:
        BadInput: another process has locked it.
    """
    with file_lock(run.path / ".lock", wait=False) as is_locked:
        if not is_locked:
            raise BadInput(
                f"{run.path}: another process is working on it", "wait for it or stop it"
            )
        yield


@contextmanager
def held(path: str | Path) -> Iterator[Run]:
    """Yield a finished run, locked for this process.

    Raises:
        BadInput: it isn't a run, its fit isn't finished, or another process has locked it.
    """
    run = Run(Path(path))
    run.require_trained()
    with locked(run):
        for old, new in FORMER_FILES.items():
            if (run.path / old).exists() and not (run.path / new).exists():
                (run.path / old).replace(run.path / new)
        yield run


def fit_warnings(run: Run) -> list[dict[str, str]]:
    """Return the signs that a run's fit failed, with `what` and `remedy`."""
    path = run.path / METRICS
    # Early versions wrote none.
    return read_json(path).get("warnings", []) if path.exists() else []


def say_fit_warnings(run: Run) -> None:
    """Print once a command the signs that a run's fit failed, if `metrics.json` names any."""
    signs = fit_warnings(run)
    if signs:
        words = "; ".join(sign["what"] for sign in signs)
        warn_once(f"{run.path}: {words}. Try: {signs[0]['remedy']}")


def fingerprint(table: pd.DataFrame, data: Mapping[str, str] | None = None) -> str:
    """Return a digest of the galaxies, their labels, votes and images.

    Args:
        table: `galaxy`, `label`, `digest`, and for a soft target its columns or `votes`.
        data: of the run that the digest is compared with: before format 3, votes entered otherwise.
    """
    columns = ["galaxy", "label", "digest"]
    targets = target_columns(table)
    former = bool(targets) and data is not None and "votes" not in data
    if not former and (targets or "votes" in table):
        table, columns = with_votes_digest(table), [*columns, "votes"]
    rows = sorted(table[columns].itertuples(index=False, name=None))
    digest = hashlib.sha256(json.dumps(rows).encode())
    if former:
        digest.update(table.sort_values("galaxy")[targets].to_numpy(float).tobytes())
    return digest.hexdigest()[:16]


def further_fingerprint(table: pd.DataFrame) -> str:
    """Return a digest of the galaxies of further sources, their labels, weights and images."""
    labels = table.drop(columns=["galaxy", "image"])
    rows = pd.util.hash_pandas_object(labels, index=False).to_numpy()
    digest = hashlib.sha256(json.dumps(sorted(table["galaxy"])).encode())
    digest.update(np.sort(rows).tobytes())
    return digest.hexdigest()[:16]


def with_votes_digest(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with `votes`, a digest of each galaxy's soft target, if it has one."""
    targets = target_columns(table)
    if not targets:
        return table
    votes = np.ascontiguousarray(table[targets].to_numpy(float))
    return table.assign(votes=[hashlib.sha256(row.tobytes()).hexdigest()[:16] for row in votes])


def write_split(run: Run, split: pd.DataFrame) -> None:
    """Write `split.csv`: the part of each galaxy, and digests of its image and votes."""
    table = with_votes_digest(split)
    more = [name for name in MORE_SPLIT_COLUMNS if name in table]
    write_table(run.path / SPLIT, table[[*SPLIT_COLUMNS, *more]])
    targets = target_columns(split)
    # The split of a cross-validated run has test parts only; its folds have the others.
    if targets and (split["split"] == TRAIN).any():
        means = pd.Series(_train_means(split, targets), targets)
        write_json(run.path / TRAIN_MEANS, means.dropna().to_dict())


def _train_means(split: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    trained = split.loc[split["split"] == TRAIN, list(columns)].to_numpy(float)
    # The mean of an answer is NaN if no volunteer reached its question.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(trained, axis=0)


def target_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns of a table of galaxies that hold soft targets."""
    return [name for name in table.columns if name.startswith((TARGET, COUNT))]


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV or, if the path ends so, as Parquet, whole or not at all."""
    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)


def environment() -> dict[str, object]:
    """Return versions, hardware and commit."""
    import torch
    from fastai.torch_core import default_device

    return {
        "galaxymorph": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": str(default_device()),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), "")
