"""`fit`: train, judge and draw a run."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click

from galaxymorph.base import BadInput, say
from galaxymorph.cli.commands import Option
from galaxymorph.cli.options import DEVICE, FIGURES, SKIP_BAD, RecipeCommand, given, recipe_options
from galaxymorph.learn.presets import RECIPES, make_recipe
from galaxymorph.learn.recipe import Recipe, require_weights_file

# Where the galaxies of a fit without data are made.
SIMULATED = Path("data/simulated")
PRESETS_IN_HELP = "\b\nPresets:\n" + "\n".join(
    f"  {name:9} {preset.note}" for name, preset in RECIPES.items()
)


@click.command(cls=RecipeCommand, epilog=PRESETS_IN_HELP)
@click.option(
    "--data",
    cls=Option,
    group="data",
    type=click.Path(path_type=Path),
    help="Folder, zip or table with galaxies in the Kaggle layout.  [default: data/]",
)
@click.option(
    "--recipe",
    "source",
    cls=Option,
    group="run",
    metavar="NAME|FILE",
    help=f"A preset ({', '.join(RECIPES)}), see below, or a JSON file, such as a run's "
    "recipe.json. Default: baseline from 10,000 galaxies on, if ImageNet's weights can be had, and "
    "quick otherwise.",
)
@click.option(
    "--out",
    cls=Option,
    group="run",
    type=click.Path(path_type=Path),
    help="Folder of runs.  [default: exports/]",
)
@click.option(
    "--name", cls=Option, group="run", help="The run's name. Default: made from the recipe."
)
@click.option(
    "--resume",
    cls=Option,
    group="run",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Go on with a fit that was stopped; takes no other setting than --data.",
)
@click.option(
    "--simulate",
    cls=Option,
    group="data",
    type=click.IntRange(min=1),
    metavar="INTEGER",
    help="Galaxies to simulate where there is no data.  [default: 3000]",
)
@SKIP_BAD
@click.option(
    "--cache/--no-cache",
    cls=Option,
    group="data",
    default=True,
    show_default=True,
    help="Keep decoded frames on disk, shared between fits.",
)
@FIGURES
@DEVICE
@recipe_options
def fit(data, source, out, name, resume, simulate, skip_bad, cache, **settings) -> None:
    """Train a model on galaxies, judge it and draw its figures, into a run folder.

    Without data, galaxies are simulated, and the network starts from the package's own weights.
    Every setting of a recipe has an option here. Defaults in brackets are those of baseline, or of
    the recipe that is named: fit --recipe small --help shows small's.

    \b
    Examples:
      python cli.py fit
      python cli.py fit --data my/ --labels-column kind --id-column name --recipe small
      python cli.py fit --target tree --folds 5
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        _fit(data, source, out, name, resume, simulate, skip_bad, cache, given(settings))
        return
    from galaxymorph.learn import help_training, together

    with together(help_training) as leads:
        if leads:
            _fit(data, source, out, name, resume, simulate, skip_bad, cache, given(settings))
    # A thread of PyTorch that wants the interpreter's lock while Python ends aborts the process
    # now and then ("terminate called without an active exception"), after all is done.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _fit(data, source, out, name, resume, simulate, skip_bad, cache, changes) -> None:
    if resume:
        if changes or source or name or out or skip_bad or simulate:
            raise BadInput("--resume takes no settings", "the run's own recipe goes on")
        run, galaxies = resumed(resume, data, cache)
    else:
        # Before galaxies are simulated for nothing.
        make_recipe(source or "baseline", changes)
        data, own = _found_data(data, simulate)
        if own and not (source or changes.keys() & {"arch", "weights"}):
            changes["weights"] = "galaxymorph"
        run, galaxies = start(data, source, out, name, skip_bad, cache, changes)
    finish(run, galaxies)


def _found_data(data: Path | None, number: int | None) -> tuple[Path, bool]:
    """Return where the galaxies are, and whether they were simulated for want of others."""
    from galaxymorph.survey import EMBEDDED, embedded_sky
    from galaxymorph.zoo import has_catalogue, is_zip, open_table, tables_and_images

    # Before weights are downloaded for nothing.
    if data is not None and not data.exists():
        raise BadInput(f"{data}: no such file or folder", "give the folder with the Kaggle files")
    if data is not None and data.is_file() and not is_zip(data.name):
        open_table(data)
    if data is not None or has_catalogue(Path("data")):
        if number:
            raise BadInput(
                f"--simulate {number}: there is data, {data or 'data/'}", "leave out one of the two"
            )
        return data or Path("data"), False
    if strays := [name for name in tables_and_images(Path("data")) if name != SIMULATED.name]:
        raise BadInput(
            f"data/: no catalogue that can be told, only {', '.join(strays[:3])}",
            "give its folder or its table with --data",
        )
    return embedded_sky(SIMULATED, number or EMBEDDED.number), True


def start(data, source, out, name, skip_bad, cache, changes):
    """Make a new run's folder; return the run and its galaxies."""
    # These import no PyTorch, so that a fault of an option or a table is told at once.
    from galaxymorph.learn import free_name, label_words, read_labels
    from galaxymorph.zoo import handed_classes

    recipe = make_recipe(source or "baseline", changes)
    require_weights_file(recipe)
    if name is not None and (not name or Path(name).name != name):
        raise BadInput(f"--name {name!r} isn't a folder's name", "leave out slashes")
    # Before anything is downloaded.
    labelled = read_labels(data, recipe, skip_bad)
    from galaxymorph.learn import (
        decode_galaxies,
        default_recipe,
        require_network,
        start_run,
        target_images,
    )

    chosen = None
    if source is None:
        chosen = default_recipe(labelled.counts, changes)
        source, recipe = chosen.preset, chosen.recipe
    require_network(recipe)
    if chosen:
        say(f"recipe {source}: {chosen.reason}")
    target_images(recipe)
    galaxies = decode_galaxies(labelled, recipe, skip_bad, cache)
    stem = "-".join(
        [Path(source).stem, recipe.labels_column or recipe.scheme, recipe.arch]
        + ([recipe.target] if recipe.target != Recipe.target else [])
        + ([f"{recipe.folds}fold"] if recipe.folds else [])
        + ([f"{recipe.members}members"] if recipe.members > 1 else [])
    )
    out = out or Path("exports")
    path = out / name if name else free_name(out, stem)
    run = start_run(path, recipe, galaxies)
    words = label_words(recipe)
    counts = ", ".join(
        f"{words.get(label, label)} {n:,}"
        for label, n in galaxies.table["label"].value_counts().items()
    )
    say(f"{len(galaxies.table):,} galaxies ({counts}) → {run.path}")
    if recipe.flips and (handed := handed_classes(galaxies.classes)):
        say(
            f"warning: class {handed[0]!r} seems to differ from its mirror image, and galaxies are "
            "mirrored at random, so that it can't be learnt; fit again with --no-flips"
        )
    return run, galaxies


def resumed(path: Path, data: Path | None, cache: bool):
    """Return a run that was stopped, and its galaxies."""
    from galaxymorph.learn import Run, gather_galaxies, require_same_galaxies

    run = Run(path)
    # What was set aside at the start is again; anything else that is missing is noticed.
    galaxies = gather_galaxies(data or run.data["path"], run.recipe, skip_bad=True, cache=cache)
    require_same_galaxies(run, galaxies)
    say(f"going on with {path}" if not run.is_trained else f"{path} is trained; judging it again")
    return run, galaxies


def finish(run, galaxies, again: str = "") -> None:
    """Train a run from where it stands, judge it, draw it, and say where it is.

    Args:
        run: started.
        galaxies: that it was split on.
        again: the command that goes on after an interruption.
    """
    again = again or f"python cli.py fit --resume {shlex.quote(str(run.path))}"
    try:
        _finish(run, galaxies, again)
    except KeyboardInterrupt as stop:
        raise type(stop)(f"go on with: {again}") from None


def _finish(run, galaxies, again: str) -> None:
    from galaxymorph.judge import judge_run
    from galaxymorph.learn import say_fit_warnings, train_run
    from galaxymorph.report import draw_run, print_metrics, write_report

    train_run(run, galaxies)
    try:
        metrics = judge_run(run)
        draw_run(run, metrics)
        page = write_report(run)
    except Exception:
        say(
            f"{run.path} is trained, and has its model and its predictions; its scores, figures "
            f"and page are made by: {again}"
        )
        raise
    # Last, since it may have nowhere to go.
    print_metrics(metrics, run.recipe)
    say_fit_warnings(run)
    say(f"figures: {run.figures}/")
    say(f"report: {page}")
    say(f"look at its mistakes: python cli.py interpret {shlex.quote(str(run.path))}")
    click.echo(run.path)
