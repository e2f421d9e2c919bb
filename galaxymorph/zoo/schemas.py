"""Vote schemas by name: those of the package, of plugins, and of users' files.

To add one, from a plugin or a script: `SCHEMAS.register(name, load_schema("my-tree.json"))`. The
order of the questions is the order of the columns; answers say which question follows, and a
question may be reached from several. A schema that `unites` others has the questions of all.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from galaxymorph.base import Registry, setting
from galaxymorph.zoo.schema_files import KINDS, Schema, parse_schema, read_text, schema_text

__all__ = ["GALAXY_ZOO_CHALLENGE", "KINDS", "SCHEMAS", "Schema", "load_schema", "portable_schema"]

ENDING = ".json"


class SchemaRegistry(Registry[Schema]):
    """Schemas by name; a path of a schema's file, and the text of one, are names too.

    A run has the text of the user's schema in its recipe, so that it needs the file no more.
    """

    def __getitem__(self, name: str) -> Schema:
        try:
            return super().__getitem__(name)
        except KeyError:
            if name.lstrip().startswith("{"):
                return _parsed(name)
            if name.lower().endswith(ENDING) or ("/" in name and Path(name).is_file()):
                return load_schema(name)
            raise


SCHEMAS: SchemaRegistry = SchemaRegistry("vote schema")


def load_schema(path: str | Path) -> Schema:
    """Return the vote schema in a JSON file, such as those in `zoo/vote_schemas`.

    Raises:
        BadInput: the file isn't there, is damaged, or its answers lead nowhere or in a circle; the
            message names the line.
    """
    return parse_schema(read_text(path), str(path), SCHEMAS.find)


@lru_cache(maxsize=16)
def _parsed(text: str) -> Schema:
    return parse_schema(text, "schema", SCHEMAS.find)


def portable_schema(name: str) -> str:
    """Return a schema's name, or the text of one in a user's file.

    Raises:
        BadInput: there is no such schema, or the file has a fault.
    """
    if name in list(SCHEMAS) or name.lstrip().startswith("{"):
        return name
    return schema_text(SCHEMAS.find(name, setting("schema")))


def _load_all(folder: Path) -> None:
    """Register the package's schemas; those that unite others come last."""
    paths = [*sorted(folder.glob("*.json")), *sorted(folder.glob("campaigns/*.json"))]
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    for unites in (False, True):
        for path, text in texts.items():
            if ('"unites"' in text) == unites:
                SCHEMAS.register(path.stem, parse_schema(text, str(path), SCHEMAS.find))


_load_all(Path(__file__).parent / "vote_schemas")
GALAXY_ZOO_CHALLENGE = SCHEMAS["galaxy-zoo-challenge"].tree
