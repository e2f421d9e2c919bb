"""Fits: from a catalogue, given or simulated, to a run with metrics, figures and a page."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galaxymorph.api.calling import split_options, takes
from galaxymorph.api.options import FitOptions, PretrainOptions, ReproduceOptions
from galaxymorph.api.paths import Place, RunLike
from galaxymorph.api.runs import Run
from galaxymorph.base import BadInput, Steps, say, setting, warn
from galaxymorph.learn.presets import make_recipe
from galaxymorph.learn.recipe import Recipe, require_weights_file
from galaxymorph.learn.sources.spec import TrainingSource, read_several
from galaxymorph.learn.trackers import require_trackers

if TYPE_CHECKING:
    from galaxymorph.judge import Reproduction
    from galaxymorph.learn import Run as RunFolder
    from galaxymorph.learn.galaxies import Galaxies

    Started = tuple[RunFolder, Galaxies]

# Where the galaxies of a fit without data are made.
SIMULATED = Path("data/simulated")
BACKBONE = "backbone.safetensors"


@takes(FitOptions, settings=True)
def fit(data: Place | None = None, **options: Any) -> Run:
    """Train a model on galaxies, judge it and draw its figures; return the run.

    Without data, galaxies are simulated, and the network starts from the package's own weights.

    Args:
        data: folder, zip or table with galaxies in the Kaggle layout. Default: data/.

    Raises:
        BadInput: a setting, the catalogue or the run's folder can't be used.

    Example:
        >>> import galaxymorph as gm
        >>> run = gm.fit("sky", recipe="quick", size=64, epochs=2, name="first")
        >>> run.path.as_posix()
        'exports/first'
    """
    chosen, changes = split_options(FitOptions, options)
    place = None if data is None else Path(data)
    if chosen.resume:
        given = (chosen.recipe, chosen.name, chosen.out, chosen.skip_bad, chosen.simulate)
        if changes or any(given):
            raise BadInput(
                f"{setting('resume')} accepts no other settings", "the recipe of the run is used"
            )
        run, galaxies = resume_fit(chosen.resume, place, chosen.cache)
    else:
        # Before galaxies are simulated for nothing.
        make_recipe(chosen.recipe or "baseline", changes)
        folder, is_simulated = _find_data(place, chosen.simulate)
        if is_simulated and not (chosen.recipe or changes.keys() & {"arch", "weights"}):
            changes = {**changes, "weights": "galaxymorph"}
        run, galaxies = start_fit(replace(chosen, data=folder), changes)
    finish_fit(run, galaxies)
    return Run(run.path)


@takes(PretrainOptions, settings=True)
def pretrain(**options: Any) -> Run:
    """Train a backbone on simulated galaxies of all surveys, or go on with it; return the run.

    Its file `backbone.safetensors` is for `weights` of `fit`. Settings are those of the recipe
    `pretrain`; with `data`, `also` and `unlabelled`, real galaxies train too.

    Raises:
        BadInput: the run exists and settings are given, or they are of several networks.

    Example:
        >>> import galaxymorph as gm
        >>> run = gm.pretrain(sky="many-skies", n=30, name="mine", size=32, epochs=1)
        >>> (run.path / "backbone.safetensors").exists()
        True
    """
    from galaxymorph.learn import write_backbone
    from galaxymorph.survey import PRETRAINING, simulate

    chosen, changes = split_options(PretrainOptions, options)
    for each, most in (("folds", 0), ("members", 1)):
        if (value := int(changes.get(each) or 0)) > most:
            raise BadInput(
                f"{setting(each, value)}: a backbone is a single network", "leave it out"
            )
    sky, out, name = chosen.sky, chosen.out, chosen.name
    path, main = out / name, chosen.data or sky
    # Training takes longer than simulating; where the sky is there already, it is all.
    with Steps([1, 3]) as steps:
        steps.begin()
        simulate(sky, replace(PRETRAINING, number=chosen.n or PRETRAINING.number))
        steps.begin()
        if path.exists():
            if changes:
                raise BadInput(
                    f"{path} exists already",
                    f"leave out the settings to continue it, or give another {setting('name')}",
                )
            run, galaxies = resume_fit(path, main, cache=True)
        else:
            if chosen.data is not None:
                changes = {**changes, "also": _with_sky(changes.get("also"), sky)}
            wanted = FitOptions(data=main, recipe="pretrain", out=out, name=name)
            run, galaxies = start_fit(wanted, changes)
        # Without the settings, which the run has.
        words = ["--sky", str(sky), "--out", str(out), "--name", name]
        words += ["--data", str(chosen.data)] if chosen.data is not None else []
        finish_fit(run, galaxies, f"python cli.py pretrain {shlex.join(words)}")
    write_backbone(run, path / BACKBONE)
    return Run(path)


def _with_sky(also: object, sky: Path) -> tuple[str, ...]:
    """Return the further catalogues with the simulated sky, unless it is one of them."""
    sources = read_several(also)
    known = {Path(source.path).absolute() for source in sources}
    if sky.absolute() not in known:
        sources.append(TrainingSource(str(sky)))
    return tuple(map(str, sources))


@takes(ReproduceOptions)
def reproduce(run: RunLike, **options: Any) -> Reproduction:
    """Train a run again from its own files and compare weights and metrics.

    Args:
        run: a trained run or its folder.

    Raises:
        BadInput: the run isn't finished, or the catalogue isn't the one it was split on.

    Example:
        >>> import galaxymorph as gm
        >>> again = gm.reproduce("exports/first")
        >>> again.weights, again.metrics
        (True, True)
    """
    from galaxymorph.judge import reproduce_run

    return reproduce_run(Run(Path(run)), ReproduceOptions(**options).data)


def _find_data(data: Path | None, number: int | None) -> tuple[Path, bool]:
    """Return where the galaxies are, and whether they were simulated for want of others."""
    from galaxymorph.survey import embedded_sky
    from galaxymorph.zoo import has_catalogue, is_zip, open_table, tables_and_images

    if number and data is not None:
        raise BadInput(
            f"{setting('simulate', number)} simulates in {SIMULATED}/, and "
            f"{setting('data', data)} names another catalogue",
            "leave out one of the two",
        )
    # Before weights are downloaded for nothing.
    if data is not None and not data.exists():
        raise BadInput(
            f"{data}: no such file or folder", "give a table, or the folder of Kaggle's files"
        )
    if data is not None and data.is_file() and not is_zip(data.name):
        open_table(data)
    if data is not None or has_catalogue(Path("data")):
        if number:
            raise BadInput(
                f"{setting('simulate', number)}: there is a catalogue already, data/",
                f"leave out {setting('simulate')}",
            )
        return data or Path("data"), False
    names = tables_and_images(Path("data"))
    if strays := [name for name in names if not name.startswith(SIMULATED.name)]:
        raise BadInput(
            f"data/: no catalogue found, only {', '.join(strays[:3])}",
            f"give its folder or its table with {setting('data')}",
        )
    return embedded_sky(SIMULATED, number), True


def start_fit(options: FitOptions, changes: dict[str, Any]) -> Started:
    """Make a new run's folder; return the run and its galaxies.

    Args:
        options: `data` is where the galaxies are.
        changes: settings in place of the recipe's.
    """
    # These import no PyTorch, so that a fault of an option or a table is told at once.
    from galaxymorph.learn import read_labels

    source, data, name = options.recipe, options.data or Path("data"), options.name
    recipe = make_recipe(source or "baseline", changes)
    require_weights_file(recipe)
    require_trackers(recipe)
    if name is not None and (not name or Path(name).name != name):
        raise BadInput(
            f"{setting('name')} {name!r} is not a valid folder name", "leave out slashes"
        )
    # Before anything is downloaded.
    labelled = read_labels(data, recipe, options.skip_bad)
    from galaxymorph.learn import (
        decode_galaxies,
        default_recipe,
        free_name,
        learn_flux_scale,
        require_network,
        resolve_encoder,
        sample_images,
        start_run,
        unlabelled_images,
        warn_of_inputs,
    )

    reason = ""
    if source is None:
        chosen = default_recipe(labelled.counts, changes)
        source, recipe, reason = chosen.preset, chosen.recipe, chosen.reason
    encoder = resolve_encoder(recipe, changes)
    recipe = encoder.recipe
    require_network(recipe)
    if reason:
        say(f"recipe {source}: {reason}")
    unlabelled_images(recipe)
    recipe = learn_flux_scale(recipe, labelled)
    galaxies = decode_galaxies(labelled, recipe, options.skip_bad, options.cache)
    if encoder.unsure:
        warn_of_inputs(encoder, sample_images(list(galaxies.table["image"]), recipe))
    out = options.out or Path("exports")
    path = out / name if name else free_name(out, _default_name(Path(source).stem, recipe))
    run = start_run(path, recipe, galaxies)
    _say_started(run, galaxies)
    return run, galaxies


def _default_name(source: str, recipe: Recipe) -> str:
    parts = [source, recipe.labels_column or recipe.scheme, recipe.arch]
    if recipe.target != Recipe.target:
        parts.append(recipe.target)
    if recipe.folds:
        parts.append(f"{recipe.folds}fold")
    if recipe.members > 1:
        parts.append(f"{recipe.members}members")
    return "-".join(parts)


def _say_started(run: RunFolder, galaxies: Galaxies) -> None:
    from galaxymorph.learn import label_words, target_of
    from galaxymorph.zoo import handed_classes

    words = label_words(run.recipe)
    numbers = galaxies.table["label"].value_counts().items()
    counts = ", ".join(f"{words.get(str(label), label)} {number:,}" for label, number in numbers)
    # Of a soft target, the labels are a scheme's classes or first answers.
    is_by_scheme = target_of(run.recipe).soft and not words.keys() & set(galaxies.classes)
    by = f"by {run.recipe.scheme}: " * is_by_scheme
    say(f"{len(galaxies.table):,} galaxies ({by}{counts}) → {run.path}")
    if run.recipe.flips and (handed := handed_classes(galaxies.classes)):
        warn(
            f"class {handed[0]!r} seems to have a handedness, but images are mirrored at random, "
            f"so no network can learn it; fit again with {setting('flips', False)}"
        )


def resume_fit(path: Path, data: Path | None, cache: bool) -> Started:
    """Return a run that was stopped, and its galaxies."""
    from galaxymorph.learn import Run as RunFolder
    from galaxymorph.learn import gather_galaxies, require_same_galaxies

    run = RunFolder(path)
    if run.judged is not None:
        run.require_model()
    # What was set aside at the start is again; anything else that is missing is noticed.
    galaxies = gather_galaxies(data or run.data["path"], run.recipe, skip_bad=True, cache=cache)
    require_same_galaxies(run, galaxies)
    say(
        f"continuing {path}"
        if not run.is_trained
        else f"{path} is trained already; evaluating it again"
    )
    return run, galaxies


def finish_fit(run: RunFolder, galaxies: Galaxies, again: str = "") -> None:
    """Train a run from where it stands, judge it, draw it, and write its page.

    Args:
        run: started.
        galaxies: that it was split on.
        again: the command that goes on after an interruption.
    """
    from galaxymorph.judge import judge_run
    from galaxymorph.learn import say_fit_warnings, train_run
    from galaxymorph.report import draw_run, write_report

    again = again or f"python cli.py fit --resume {shlex.quote(str(run.path))}"
    try:
        train_run(run, galaxies)
        try:
            draw_run(run, judge_run(run))
            write_report(run)
        except Exception:
            say(
                f"{run.path} is trained and has its model and predictions; to write its metrics, "
                f"figures and report: {again}"
            )
            raise
    except KeyboardInterrupt as stop:
        raise type(stop)(f"continue with: {again}") from None
    say_fit_warnings(run)
