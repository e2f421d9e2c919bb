"""`serve`: a run's model as a web page of this machine."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.base import say
from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import RENDERING, RUN, device_option, say_rendering


@click.command(cls=Command)
@RUN
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. Any other than the default lets other machines connect.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 for any free port.",
)
@RENDERING
@device_option(None, expose=True)
def serve(
    run: Path, host: str, port: int, stretch: str | None, bands: str | None, device: str
) -> None:
    """Serve the model of RUN as a local web page that predicts the images dropped on it.

    POST /predict accepts images and answers in JSON or CSV; /openapi.json describes it. Images are
    neither written to disk nor logged.

    \b
    Example:
      python cli.py serve exports/RUN --port 8080
    """
    from galaxymorph.report import open_server

    say_rendering(stretch, bands)
    server = open_server(run, host, port, stretch, bands, device)
    click.echo(server.address)
    say("stop it with Ctrl-C")
    try:
        server.run()
    except KeyboardInterrupt:
        say("stopped")
