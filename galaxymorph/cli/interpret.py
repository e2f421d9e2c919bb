"""`interpret`: a run's galleries."""

from __future__ import annotations

import click

from galaxymorph.cli.options import DATA, DEVICE, RUN


@click.command()
@RUN
@click.option("--part", type=click.Choice(["test", "valid"]), default="test", show_default=True)
@click.option(
    "--most",
    type=click.IntRange(1, 200),
    default=20,
    show_default=True,
    help="Galaxies in a gallery.",
)
@DATA
@DEVICE
def interpret(run, part, most, data) -> None:
    """Draw galleries of RUN's galaxies into its figures/.

    Those with the largest losses, the mistakes made with most confidence, and each cell of the
    confusion matrix.
    """
    from galaxymorph.base import Progress
    from galaxymorph.judge import confident_mistakes, confusion_cells, top_losses
    from galaxymorph.learn import Run, with_images
    from galaxymorph.report import draw_gallery

    run = Run(run)
    crop, predictions = run.recipe.crop, with_images(run.predictions(part), data)
    galleries = {
        f"top_losses_{part}": ("Largest losses", top_losses(run, part, data)),
        f"confident_mistakes_{part}": (
            "Wrong, most confident first",
            confident_mistakes(predictions),
        ),
    }
    for (true, predicted), galaxies in confusion_cells(predictions, run.classes).items():
        words = f"Volunteers: {true}, model: {predicted}".replace("_", " ")
        galleries[f"confusion_{part}/{true}_as_{predicted}"] = (words, galaxies)
    filled = {name: gallery for name, gallery in galleries.items() if len(gallery[1])}
    with Progress("drawing", len(filled), "galleries") as progress:
        for name, (title, galaxies) in filled.items():
            path = run.figures / f"{name}.png"
            click.echo(draw_gallery(path, galaxies, title, crop, most))
            progress.advance()
