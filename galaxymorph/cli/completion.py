"""`completion`: the shell's completion script."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from galaxymorph.cli.commands import Choice, Command


@click.command(cls=Command)
@click.argument("shell", type=Choice(["bash", "zsh", "fish"]))
def completion(shell) -> None:
    """Print the script that completes `galaxymorph` in SHELL.

    For bash: eval "$(galaxymorph completion bash)", in ~/.bashrc to keep it.
    """
    from galaxymorph.cli import cli

    script = get_completion_class(shell)(cli, {}, "galaxymorph", "_GALAXYMORPH_COMPLETE")
    click.echo(script.source())
