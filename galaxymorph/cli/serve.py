"""`serve`: a run's model as a web page of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from galaxymorph.api.options import ServeOptions
from galaxymorph.base import say
from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import OPTIONAL_RUN, options_of, say_rendering


@click.command(cls=Command)
@OPTIONAL_RUN
@options_of(ServeOptions)
def serve(run: Path | None, **options: Any) -> None:
    """Serve the model of RUN as a local web page that predicts the images dropped on it.

    Without a RUN, the model that comes with the package is served.

    POST /predict accepts images and answers in JSON or CSV; /openapi.json describes it. Images are
    neither written to disk nor logged.

    \b
    Example:
      python cli.py serve exports/RUN --port 8080
    """
    from galaxymorph.api.predicting import PACKAGE_WORDS
    from galaxymorph.learn import PACKAGE_MODEL
    from galaxymorph.report import open_server

    if run is None:
        say(PACKAGE_WORDS)
    say_rendering(options)
    # Unlike `galaxymorph.serve`, the command prints the address before it loads the model.
    server = open_server(run or PACKAGE_MODEL, **options)
    click.echo(server.address)
    say("stop it with Ctrl-C")
    try:
        server.run()
    except KeyboardInterrupt:
        say("stopped")
