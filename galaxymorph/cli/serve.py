"""`serve`: a run's model as a web page of this machine."""

from __future__ import annotations

import click

from galaxymorph.base import say
from galaxymorph.cli.commands import Choice, Command
from galaxymorph.cli.options import DEVICES, RUN, rendering_options, say_rendering


@click.command(cls=Command)
@RUN
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at; any other than this machine's own lets others in.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="0 for any that is free.",
)
@rendering_options
@click.option(
    "--device",
    type=Choice(DEVICES),
    default="auto",
    show_default=True,
    help="Where networks run; auto: a GPU if there is one.",
)
def serve(run, host, port, stretch, bands, device) -> None:
    """Serve RUN's model as a web page: drop images, see their classes or walks.

    POST /predict takes images and answers in JSON or CSV; /openapi.json describes it. Nothing that
    is sent is written anywhere.

    \b
    Example:
      python cli.py serve exports/RUN --port 8080
    """
    from galaxymorph.learn import Run, fit_warnings
    from galaxymorph.report import ModelServer

    def load():
        from galaxymorph.learn import use_device
        from galaxymorph.report import load_model

        use_device(device)
        return load_model(run, stretch, bands)

    say_rendering(stretch, bands)
    server = ModelServer(run.resolve().name, load, host, port, fit_warnings(Run(run)))
    click.echo(server.address)
    say("stop it with Ctrl-C")
    try:
        server.run()
    except KeyboardInterrupt:
        say("stopped")
