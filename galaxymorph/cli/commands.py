"""Commands and options of ours: what is mistyped gets a suggestion."""

from __future__ import annotations

from typing import Any

import click

from galaxymorph.base import near_names


class Choice(click.Choice):
    """One of a few words; for another, the one that it is like."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the choice.

        Raises:
            click.BadParameter: it is none of them.
        """
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            near = near_names(str(value), list(self.choices), most=1)
            raise click.BadParameter(
                error.message + _suggestion(near), error.ctx, error.param
            ) from None


class Option(click.Option):
    """An option that stands in a group of its command's help, if the command has groups."""

    def __init__(self, *names: Any, group: str = "", **settings: Any):
        super().__init__(*names, **settings)
        self.group = group


class Command(click.Command):
    """A command that suggests what an unknown option is mistyped for."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Return the arguments that are left.

        Raises:
            click.UsageError: an option is unknown, or its value can't be.
        """
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            names = [name for each in self.get_params(ctx) for name in _names(each)]
            words = error.message + _suggestion(near_names(error.option_name, names))
            raise click.NoSuchOption(error.option_name, words, ctx=ctx) from None


class Group(click.Group):
    """A group of such commands."""

    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return a command's name, the command and its arguments.

        Raises:
            click.UsageError: there is no such command.
        """
        name = str(args[0])
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            near = near_names(name, self.list_commands(ctx), most=1)
            ctx.fail(f"No such command '{name}'.{_suggestion(near)}")
        return super().resolve_command(ctx, args)


def _suggestion(near: list[str]) -> str:
    return f" Did you mean {' or '.join(near[:2])}?" if near else ""


def _names(option: click.Parameter) -> list[str]:
    names = [*option.opts, *option.secondary_opts]
    return [name for name in names if name.startswith("--")]
