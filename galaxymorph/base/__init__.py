"""What every room stands on: errors, files, archives, progress."""

from galaxymorph.base.ahead import map_ahead
from galaxymorph.base.archives import (
    REFERENCE_SEPARATOR,
    is_unsafe,
    list_members,
    plain_name,
    read_bytes,
    read_head,
)
from galaxymorph.base.errors import BadInput, MissingFile, as_utf8, listed, one_line
from galaxymorph.base.files import (
    cache_folder,
    exclusive,
    in_file_names,
    make_folder,
    remove_leftovers,
    replace_folder,
    replacing,
    write_json,
    write_text,
)
from galaxymorph.base.formats import FITS_ENDINGS, FITS_HEAD, HEAD, is_fits_table, sniff
from galaxymorph.base.plugins import (
    load_installed_plugins,
    load_named_plugins,
    load_plugin,
    loaded_plugins,
)
from galaxymorph.base.progress import Progress, Steps, mute, print_anything, say
from galaxymorph.base.reading import read_json, reading, require_words
from galaxymorph.base.registry import Registry
from galaxymorph.base.rows import Rows
from galaxymorph.base.suggestions import did_you_mean, likeness, near_names, use_one_of

__all__ = [
    "FITS_ENDINGS",
    "FITS_HEAD",
    "HEAD",
    "REFERENCE_SEPARATOR",
    "BadInput",
    "MissingFile",
    "Progress",
    "Registry",
    "Steps",
    "Rows",
    "as_utf8",
    "cache_folder",
    "did_you_mean",
    "exclusive",
    "in_file_names",
    "is_fits_table",
    "is_unsafe",
    "make_folder",
    "list_members",
    "likeness",
    "listed",
    "load_installed_plugins",
    "load_named_plugins",
    "load_plugin",
    "loaded_plugins",
    "map_ahead",
    "mute",
    "near_names",
    "one_line",
    "print_anything",
    "plain_name",
    "read_bytes",
    "read_head",
    "read_json",
    "reading",
    "remove_leftovers",
    "replace_folder",
    "replacing",
    "require_words",
    "say",
    "sniff",
    "use_one_of",
    "write_json",
    "write_text",
]
