"""Plugins: modules and files of Python that register further entries.

A plugin calls `register` of the package's registries, as the package does, see `Registry`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

from galaxymorph.base.errors import BadInput
from galaxymorph.base.imports import outside_code
from galaxymorph.base.progress import warn
from galaxymorph.base.registry import registering
from galaxymorph.base.settings import setting

# Packages that are installed name their module under this group of entry points.
GROUP = "galaxymorph.plugins"
# The environment variable with the plugins of this process, for those that it starts; a user may
# set it too. Separated as in PATH.
VARIABLE = "GALAXYMORPH_PLUGINS"

_loaded: dict[str, None] = {}


def load_plugin(source: str | Path) -> str:
    """Import a plugin, once, and return the name that runs record it by.

    Args:
        source: a module's dotted name, or the path of a `.py` file.

    Raises:
        BadInput: there is no such module or file, or it can't be imported; the cause is attached.

    Example:
        >>> import galaxymorph as gm
        >>> from pathlib import Path
        >>> _ = Path("my_scheme.py").write_text("# SCHEMES.register(...) and the like")
        >>> gm.load_plugin("my_scheme.py").endswith("my_scheme.py")
        True
    """
    name = str(source)
    if name.endswith(".py"):
        name = str(Path(name).resolve())
    if name in _loaded:
        return name
    option = setting("plugin", source)
    remedy = f"correct the plugin; {setting('debug')} shows where"
    with outside_code(option, "it fails when imported", remedy), registering(name):
        try:
            _import(name)
        except ModuleNotFoundError as error:
            raise BadInput(str(error), "install it, or give a .py file") from error
    _loaded[name] = None
    os.environ[VARIABLE] = os.pathsep.join(_loaded)
    return name


def load_installed_plugins() -> None:
    """Import the plugins of installed packages, see `GROUP`; warn of one that can't be."""
    _load_or_warn([point.value for point in entry_points(group=GROUP)])


def load_named_plugins() -> None:
    """Import the plugins that the environment names, see `VARIABLE`; warn of one that can't be."""
    _load_or_warn(os.environ.get(VARIABLE, "").split(os.pathsep))


def _load_or_warn(names: Sequence[str]) -> None:
    for name in filter(None, names):
        try:
            load_plugin(name)
        except BadInput as error:
            warn(str(error))


def loaded_plugins() -> Sequence[str]:
    """Return the plugins of this process, in the order of loading."""
    return list(_loaded)


def _import(name: str) -> None:
    if not name.endswith(".py"):
        importlib.import_module(name)
        return
    path = Path(name)
    if not path.is_file():
        raise FileNotFoundError(name)
    # Under a unique name, by which pickles refer to what the plugin defines.
    module_name = f"galaxymorph_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"{name} is no module of Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
