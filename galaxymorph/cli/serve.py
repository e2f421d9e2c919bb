"""`serve`: a run's model as a web page of this machine."""

from __future__ import annotations

import click

from galaxymorph.base import say
from galaxymorph.cli.options import DEVICE, RUN, rendering_options, say_rendering


@click.command()
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
@DEVICE
def serve(run, host, port, stretch, bands) -> None:
    """Answer with RUN's model in a browser: drop an image, see its classes or its walk.

    POST /predict takes an image and answers in JSON; /openapi.json describes it. Nothing that is
    sent is written anywhere.
    """
    from galaxymorph.report import load_model, make_server

    say_rendering(stretch, bands)
    server = make_server(load_model(run, stretch, bands), host, port)
    with server:
        click.echo(f"http://{host}:{server.server_port}/")
        say("stop it with Ctrl-C")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("stopped")
