"""`serve`: a run's model as a web page of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from galaxymorph.api.options import ServeOptions
from galaxymorph.base import say
from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import RUN, options_of, say_rendering


@click.command(cls=Command)
@RUN
@options_of(ServeOptions)
def serve(run: Path, **options: Any) -> None:
    """Serve the model of RUN as a local web page that predicts the images dropped on it.

    POST /predict accepts images and answers in JSON or CSV; /openapi.json describes it. Images are
    neither written to disk nor logged.

    \b
    Example:
      python cli.py serve exports/RUN --port 8080
    """
    from galaxymorph.report import open_server

    say_rendering(options)
    # Unlike `galaxymorph.serve`, the command prints the address before it loads the model.
    server = open_server(run, **options)
    click.echo(server.address)
    say("stop it with Ctrl-C")
    try:
        server.run()
    except KeyboardInterrupt:
        say("stopped")
