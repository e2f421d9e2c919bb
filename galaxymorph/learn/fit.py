"""The fit in two stages, with a frozen trunk and fine-tuned, into a run folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from fastai.callback.core import Callback
from fastai.callback.mixup import MixUp
from fastai.callback.progress import ProgressCallback
from fastai.callback.schedule import fit_one_cycle  # noqa: F401, the patch of Learner
from fastai.learner import Learner
from fastai.torch_core import default_device, set_seed

from galaxymorph.base import BadInput, Progress, Steps, counted, remove_leftovers, say, setting
from galaxymorph.images import Frames
from galaxymorph.learn.acceleration.features import stored_features
from galaxymorph.learn.acceleration.gpu_memory import LossOnGPU
from galaxymorph.learn.acceleration.gradients import fast_weight_gradients
from galaxymorph.learn.acceleration.hardware import (
    closing_autocast,
    precision_callbacks,
    resolve_precision,
)
from galaxymorph.learn.acceleration.imports import without_compiler
from galaxymorph.learn.acceleration.kept_memory import keep_freed_memory
from galaxymorph.learn.acceleration.serving import serving_network
from galaxymorph.learn.adaptation.coral import Coral
from galaxymorph.learn.adaptation.mean_teacher import MeanTeacher
from galaxymorph.learn.adaptation.unlabelled import (
    UnlabelledImages,
    UnlabelledLoss,
    unlabelled_images,
)
from galaxymorph.learn.averaging import AverageWeights
from galaxymorph.learn.backbones.initial_weights import require_weights
from galaxymorph.learn.callbacks import (
    FEATURES,
    KEPT,
    LAST,
    BestWeightsCallback,
    CheckpointCallback,
    CountSteps,
    EarlyStopping,
    FrozenInEval,
    HistoryCallback,
    ReportEpochs,
    SeedEpochs,
    ShowProgress,
    TrainingState,
    galaxies_to_train,
    learner_state,
    load_learner_state,
    load_tensors,
    read_state,
    restore_checkpoint,
)
from galaxymorph.learn.data import galaxy_loaders, predicting_loader
from galaxymorph.learn.distributed import (
    announced,
    first_process_first,
    processes,
    rank,
    training_together,
)
from galaxymorph.learn.embeddings import write_embeddings
from galaxymorph.learn.galaxies import (
    Galaxies,
    draw_split,
    gather_galaxies,
    mark_pictures,
    split_with_targets,
    training_table,
)
from galaxymorph.learn.inference import infer
from galaxymorph.learn.learner import learner_on
from galaxymorph.learn.models import export_learner, write_weights
from galaxymorph.learn.predictions import mean_table, prediction_table
from galaxymorph.learn.recipe import Recipe
from galaxymorph.learn.run_files import (
    EXPORT,
    HISTORY,
    REJECTED,
    SOURCES,
    SPLIT,
    TRAIN_MEANS,
    UNLABELLED,
    predictions_file,
)
from galaxymorph.learn.runs import (
    SOURCES_COLUMNS,
    Run,
    create_run,
    fingerprint,
    further_fingerprint,
    locked,
    new_run_folder,
    write_split,
    write_table,
)
from galaxymorph.learn.splitting import split_callbacks, train_in_parts
from galaxymorph.learn.stored_split import warn_of_known_tests
from galaxymorph.learn.targets.columns import (
    deviation_columns,
    loss_columns,
    target_of,
    true_columns,
)
from galaxymorph.learn.targets.loss import make_link, make_loss_and_metrics
from galaxymorph.learn.trackers import CALLBACKS, TRACKERS
from galaxymorph.zoo import PARTS, fold_splits


@dataclass(frozen=True)
class Stage:
    """A stage of the fit, one call of `fit_one_cycle`.

    Args:
        name: in `history.csv`.
        freeze_to: the first trained parameter group.
        epochs: number of epochs.
        lr: learning rate of each parameter group.
    """

    name: str
    freeze_to: int
    epochs: int
    lr: list[float]


def start_run(path: Path, recipe: Recipe, galaxies: Galaxies) -> Run:
    """Split the galaxies, download weights, and make the folder of the run and of its models.

    The folder appears at once, with all that the fit can be resumed from.

    Raises:
        BadInput: the galaxies can't be split, the folder exists or can't be made, or the weights
            can't be downloaded.
    """
    galaxies = mark_pictures(galaxies, recipe)
    table, classes = galaxies.table, galaxies.classes
    data = {"path": galaxies.path, "source": galaxies.source, "fingerprint": fingerprint(table)}
    if galaxies.further is not None:
        data["further"] = further_fingerprint(galaxies.further)
    # The labels of a soft target only stratify the split.
    soft = target_of(recipe).soft
    if soft:
        data["votes"] = "digests"
    if galaxies.fractions:
        data["fractions"] = galaxies.fractions
    with new_run_folder(path) as folder:
        run = create_run(folder, recipe, classes, data)
        if recipe.folds:
            splits = fold_splits(
                table, classes, recipe.folds, recipe.seed, recipe.calibration, soft
            )
            for fold, split in zip(run.folds, splits, strict=True):
                create_run(fold.path, replace(recipe, folds=0), classes, data)
                write_split(fold, split)
            tested = [
                split[split["split"] == "test"].assign(fold=n) for n, split in enumerate(splits, 1)
            ]
            write_split(run, pd.concat(tested, ignore_index=True))
        else:
            split = draw_split(galaxies, recipe)
            for number, member in enumerate(run.ensemble):
                seed = member_seed(recipe.seed, number)
                create_run(member.path, replace(recipe, members=1, seed=seed), classes, data)
                write_split(member, split)
            write_split(run, split)
        # After all faults of the galaxies.
        require_weights(recipe)
        if galaxies.further is not None:
            write_table(run.path / SOURCES, galaxies.further[list(SOURCES_COLUMNS)])
        if len(galaxies.rejected):
            write_table(run.path / REJECTED, galaxies.rejected)
    warn_of_known_tests(Run(path))
    if galaxies.further is not None:
        say(f"{len(galaxies.further):,} galaxies of further catalogues train: {path / SOURCES}")
    if len(galaxies.rejected):
        say(f"{counted(len(galaxies.rejected), 'row')} excluded: {path / 'rejected.csv'}")
    return Run(path)


def member_seed(seed: int, number: int) -> int:
    """Return the seed of an ensemble's model; that of the first is the run's."""
    if number == 0:
        return seed
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0]) % 2**31


def restart_run(path: Path, run: Run) -> Run:
    """Make a folder with a run's recipe, classes and split, as before training.

    Trackers, which know the run already, are left out.
    """
    with new_run_folder(path) as folder:
        again = create_run(folder, replace(run.recipe, track=()), run.classes, run.data)
        members = zip(run.folds or run.ensemble, again.folds or again.ensemble, strict=True)
        for old, new in [(run, again), *members]:
            if new is not again:
                create_run(new.path, replace(old.recipe, track=()), old.classes, old.data)
            for name in (SPLIT, TRAIN_MEANS, SOURCES):
                if (old.path / name).exists():
                    shutil.copy(old.path / name, new.path / name)
    return Run(path)


def train_run(run: Run, galaxies: Galaxies) -> None:
    """Train every member of a run from its state, and write the models and predictions.

    Args:
        run: started, perhaps partly trained.
        galaxies: of its split, with their images' present paths.
    """
    if run.recipe.pipeline == "fast":
        keep_freed_memory()
    if run.recipe.unlabelled and processes() > 1:
        raise BadInput(f"{setting('unlabelled')}: not possible with several processes", "use one")
    unlabelled = None if run.is_trained else unlabelled_images(run.recipe, galaxies)
    shares = [0.0 if member.is_trained else 1.0 for member in run.members]
    with locked(run), Steps(shares, numbered=False) as steps:
        remove_leftovers(run.path)
        if unlabelled is not None:
            write_table(run.path / UNLABELLED, pd.DataFrame({"image": unlabelled.references}))
            images = counted(len(unlabelled.references), "unlabelled image")
            say(f"{images} train: {run.path / UNLABELLED}")
        for number, member in enumerate(run.members, 1):
            if run.part_word:
                steps.begin()
            label = f"{run.part_word} {number}/{len(run.members)}" if run.part_word else "training"
            if not member.is_trained:
                if processes() > 1:
                    announced((str(member.path), galaxies.path, galaxies.frames is not None))
                _train_member(member, label, galaxies, unlabelled)
        if run.folds:
            for part in _predicted_parts(run.folds[0].split):
                tables = [
                    fold.predictions(part).assign(fold=n) for n, fold in enumerate(run.folds, 1)
                ]
                write_table(run.path / predictions_file(part), pd.concat(tables, ignore_index=True))
        # Predictions of a trained run may have columns of `calibrate`, which its models' don't.
        elif run.ensemble and not run.is_trained:
            for part in _predicted_parts(run.split):
                tables = [member.predictions(part) for member in run.ensemble]
                table = mean_table(tables, run.recipe, run.classes)
                write_table(run.path / predictions_file(part), table)


def help_training(task: tuple[str, str, bool]) -> None:
    """Train a model together with the first process, and write nothing.

    Args:
        task: the paths of the member and of the catalogue, and whether frames are cached.
    """
    path, data, cache = task
    run = Run(Path(path))
    galaxies = gather_galaxies(data, run.recipe, skip_bad=True, cache=cache)
    _train_member(run, "", galaxies, None)


def make_learner(
    run: Run, split: pd.DataFrame | None = None, frames: Frames | None = None, load: bool = False
) -> Learner:
    """Return a member's learner on its galaxies, with the random state at the start of the fit.

    Args:
        run: not cross-validated, or a fold.
        split: in place of the run's.
        frames: decoded, used in place of the files.
        load: start from the weights that the fit selected instead of the recipe's.
    """
    recipe, classes = run.recipe, run.classes
    split = run.split if split is None else split
    set_seed(recipe.seed, reproducible=True)
    loaders = galaxy_loaders(split, recipe, classes, frames)
    start = replace(recipe, weights="none") if load else recipe
    learn = learner_on(loaders, start, split, classes)
    learn.remove_cb(ProgressCallback)
    if load:
        _load_kept(run, learn)
    return learn


def stages(recipe: Recipe, groups: int = 3) -> list[Stage]:
    """Return the fit's stages that have epochs.

    Args:
        recipe: of the fit.
        groups: of parameters, see `split_groups`: the first is of the early stages, the last of
            the head. With `layer_decay`, the rate decreases from each group to the one before it
            (Howard & Ruder 2018, arXiv:1801.06146, section 3.2; Zoobot's `lr_decay`).
    """
    trunk, tuned = recipe.lr * recipe.trunk_lr, range(groups - 2)
    rates = [trunk * recipe.layer_decay**before for before in reversed(tuned)]
    both = [
        Stage("frozen", -1, recipe.frozen_epochs, [recipe.frozen_lr] * groups),
        Stage("fine-tuned", 1 - groups, recipe.epochs, [rates[0], *rates, recipe.lr]),
    ]
    return [stage for stage in both if stage.epochs]


@contextmanager
def _followed(run: Run) -> Iterator[list[Callback]]:
    """Let a recipe's trackers follow the fit of a model within the block; yield their callbacks."""
    with ExitStack() as stack:
        names = () if rank() else run.recipe.track
        yield [stack.enter_context(TRACKERS[name].follow(run)) for name in names]


def _groups(learn: Learner) -> int:
    return len(learn.splitter(learn.model))


def _train_member(
    run: Run, label: str, galaxies: Galaxies, unlabelled: UnlabelledImages | None
) -> None:
    recipe = run.recipe
    split = split_with_targets(run.split, galaxies)
    learn = make_learner(run, training_table(split, galaxies), galaxies.frames)
    state, plan = read_state(run.checkpoints / LAST), stages(recipe, _groups(learn))
    complete = sum(stage.epochs for stage in plan[: state.stage]) + state.epoch
    remaining = sum(stage.epochs for stage in plan) - complete
    if remaining:
        features = first_process_first(
            lambda: stored_features(learn, recipe, run.checkpoints / "features")
        )
        images = galaxies_to_train(remaining, learn)
        with (
            without_compiler(),
            _followed(run) as trackers,
            Progress(label, images, "images") as progress,
        ):
            fit = _MemberFit(learn, run, state, plan, label, progress, unlabelled, trackers)
            for number in range(state.stage, len(plan)):
                with features.feeding(learn, plan[number].name):
                    fit.train_stage(number)
    if rank():
        return
    shutil.rmtree(run.checkpoints / FEATURES, ignore_errors=True)
    _load_kept(run, learn)
    if galaxies.further is not None:
        # For predictions the loss of one source is enough.
        learn.loss_func, learn.metrics = make_loss_and_metrics(recipe, split, run.classes)
    _write_results(run, learn, split, galaxies.frames)


@dataclass(frozen=True)
class _MemberFit:
    """The fit of one model, stage by stage, from its state."""

    learn: Learner
    run: Run
    state: TrainingState
    plan: list[Stage]
    label: str
    progress: Progress
    unlabelled: UnlabelledImages | None
    trackers: list[Callback]

    def train_stage(self, number: int) -> None:
        """Train a stage of the plan to its end, in parts of batches where memory is too small."""
        learn, state, stage = self.learn, self.state, self.plan[number]
        last = self.run.checkpoints / LAST
        learn.freeze_to(stage.freeze_to)
        average = self._average()
        if state.epoch:
            restore_checkpoint(last, learn, average)
        if any(callback.is_over for callback in self._early_stopping(stage)):
            state.stage, state.epoch = number + 1, 0
            return
        first, start = state.epoch, learner_state(learn, average)

        def restore() -> None:
            if state.epoch > first:
                restore_checkpoint(last, learn, average)
            else:
                load_learner_state(learn, start, average)

        def train(parts: int) -> None:
            self._train(number, parts, average)

        train_in_parts(train, restore, learn.dls.train.bs)
        state.stage, state.epoch = number + 1, 0

    def _early_stopping(self, stage: Stage) -> list[EarlyStopping]:
        recipe = self.run.recipe
        patience = recipe.early_stopping
        if not patience:
            return []
        return [EarlyStopping(self.state, stage.name, target_of(recipe), patience)]

    def _average(self) -> AverageWeights | None:
        """Return the average of the weights of a stage, if the recipe uses one."""
        recipe = self.run.recipe
        if recipe.keep != "average" and recipe.adapt != "mean-teacher":
            return None
        return AverageWeights(self.learn.model, validate=recipe.keep == "average")

    def _train(self, number: int, parts: int, average: AverageWeights | None) -> None:
        learn, recipe, stage = self.learn, self.run.recipe, self.plan[number]
        precision = resolve_precision(recipe.precision, learn.model)
        callbacks = self._callbacks(number, parts, precision, average)
        fast = recipe.pipeline == "fast" and precision == "bf16" and default_device().type == "cpu"
        # One view is enough to compare epochs; eight would take longer than training.
        with (
            learn.no_logging(),
            learn.removed_cbs(learn.average_views),
            fast_weight_gradients(learn.model) if fast else nullcontext(),
            training_together(learn),
            closing_autocast(callbacks),
        ):
            learn.fit_one_cycle(stage.epochs, stage.lr, start_epoch=self.state.epoch, cbs=callbacks)

    def _callbacks(
        self, number: int, parts: int, precision: str, average: AverageWeights | None
    ) -> list[Callback]:
        run, recipe, state, stage = self.run, self.run.recipe, self.state, self.plan[number]
        target, folder = target_of(recipe), run.checkpoints
        epochs_before = sum(earlier.epochs for earlier in self.plan[:number])
        epochs = sum(stage.epochs for stage in self.plan)
        # A frozen trunk has nothing to adapt.
        unlabelled = self._unlabelled_loss(average) if stage.name == "fine-tuned" else None
        callbacks = [
            *precision_callbacks(precision),
            FrozenInEval(),
            SeedEpochs(recipe.seed, epochs_before),
            *([average] if average else []),
            BestWeightsCallback(folder, state, target, recipe.keep, average),
            HistoryCallback(run.path / HISTORY, state, stage.name, unlabelled),
            CheckpointCallback(folder / LAST, state, average),
            ReportEpochs(self.progress, self.label, state, epochs, recipe),
            ShowProgress(self.progress),
            *split_callbacks(parts, recipe),
            CountSteps(epochs_before),
            *self.trackers,
            *([MixUp(recipe.mixup)] if recipe.mixup else []),
            *self._early_stopping(stage),
            *(CALLBACKS[name](run, stage.name) for name in recipe.callback),
        ]
        if recipe.pipeline == "fast" and default_device().type != "cpu":
            callbacks.append(LossOnGPU())
        return [*callbacks, unlabelled] if unlabelled else callbacks

    def _unlabelled_loss(self, average: AverageWeights | None) -> UnlabelledLoss | None:
        recipe, images = self.run.recipe, self.unlabelled
        if images is None:
            return None
        if average is None or recipe.adapt == "coral":
            return Coral(images, recipe.adapt_weight)
        head = getattr(self.learn.loss_func, "head", None)
        return MeanTeacher(images, recipe.adapt_weight, average, head)


def _load_kept(run: Run, learn: Learner) -> None:
    learn.model.load_state_dict(load_tensors(run.checkpoints / KEPT))


def _predicted_parts(split: pd.DataFrame) -> list[str]:
    """Return the predicted parts; the last is test, whose predictions end the fit."""
    return [part for part in PARTS[1:] if (split["split"] == part).any()]


def _write_results(run: Run, learn: Learner, split: pd.DataFrame, frames: Frames | None) -> None:
    """Write the model in both formats, then the predictions."""
    recipe, classes = run.recipe, run.classes
    export_learner(learn, run.path / EXPORT)
    write_weights(learn.model, run)
    network, moments = serving_network(learn.model, recipe), make_link(recipe).mean_and_square
    write_embeddings(run, network, learn.dls, split, frames)
    true = true_columns(recipe, classes)
    if deviation_columns(recipe, classes):
        true += loss_columns(recipe, classes)
    parts = {part: split[split["split"] == part] for part in _predicted_parts(split)}
    with Progress("predicting", sum(map(len, parts.values())), "images") as progress:
        for part, rows in parts.items():
            batches = predicting_loader(learn.dls, rows, recipe, classes, frames)
            (predictions,) = infer([network], batches, recipe.views, moments, progress.advance)
            table = prediction_table(predictions, recipe, classes)
            columns = rows[["galaxy", "image", "label", *true]].reset_index(drop=True)
            write_table(run.path / predictions_file(part), pd.concat([columns, table], axis=1))
