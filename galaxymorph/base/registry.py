"""Registries of the choices that have names, to which plugins can add entries."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Generic, TypeVar

from galaxymorph.base.errors import BadInput
from galaxymorph.base.settings import setting
from galaxymorph.base.suggestions import use_one_of

Entry = TypeVar("Entry")

# The plugin that is being imported; entries registered meanwhile are its own.
_plugin: ContextVar[str | None] = ContextVar("plugin", default=None)


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Entries of one kind by name, in the order of registration.

    The package and plugins add entries by the same call, `register`. Options of the command line,
    tables and batteries of tests read the registry when they are used, so that a plugin's entries
    are among them.
    """

    def __init__(
        self, kind: str, entries: Mapping[str, Entry] | None = None, modules: Sequence[str] = ()
    ):
        """Make a registry.

        Args:
            kind: of the entries, in words for messages: "label scheme".
            entries: the first of them.
            modules: of the package, that register entries when they are imported: before the first
                entry of anyone else is registered or read.
        """
        self.kind = kind
        self._entries: dict[str, Entry] = dict(entries or {})
        self._modules = list(modules)

    def register(self, name: str, entry: Entry) -> Entry:
        """Add an entry and return it.

        Raises:
            BadInput: the name is taken.
        """
        if _plugin.get():
            self._import()
        if name in self._entries:
            raise BadInput(f"{self.kind} {name!r} is registered already", "choose another name")
        self._entries[name] = entry
        return entry

    def find(self, name: str, option: str = "") -> Entry:
        """Return the entry of a name that a user gave.

        Args:
            name: of the entry.
            option: that the name was given to, such as `--scheme`; or a file.

        Raises:
            BadInput: there is no such entry.
        """
        if name in self:
            return self[name]
        where = f"{option}: " if option else ""
        raise BadInput(
            f"{where}{self.kind} {name!r} is unknown",
            f"{use_one_of(name, list(self))}; an entry of a plugin needs {setting('plugin')}",
        )

    def __getitem__(self, name: str) -> Entry:
        self._import()
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        self._import()
        return iter(self._entries)

    def __len__(self) -> int:
        self._import()
        return len(self._entries)

    def _import(self) -> None:
        while self._modules:
            with registering(None):
                importlib.import_module(self._modules.pop(0))


@contextmanager
def registering(plugin: str | None) -> Iterator[None]:
    """Let entries that are registered meanwhile be those of a plugin, or of the package."""
    token = _plugin.set(plugin)
    try:
        yield
    finally:
        _plugin.reset(token)
