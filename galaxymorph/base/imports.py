"""Imports that can fail: libraries of extras, and code from outside the package."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from galaxymorph.base.errors import BadInput


def import_extra(module: str, extra: str, purpose: str) -> Any:
    """Import and return a module that an extra of this package installs.

    Args:
        module: its dotted name.
        extra: the extra's name.
        purpose: the feature that needs it, which begins the message.

    Raises:
        BadInput: it isn't installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise BadInput(
            f"{purpose} needs {library}", f"pip install 'galaxymorph[{extra}]'"
        ) from error


@contextmanager
def outside_code(name: object, fault: str, remedy: str) -> Iterator[None]:
    """Raise BadInput for any error of code from outside the package, such as a user's plugin.

    Args:
        name: of the file or option, which begins the message.
        fault: describes the failure.
        remedy: for the user.

    Raises:
        BadInput: the block failed; the cause is attached.
    """
    try:
        yield
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from error
    except FileNotFoundError as error:
        raise BadInput(f"{name}: no such file", "check the path") from error
    except Exception as error:
        # Such code can raise errors of any type.
        raise BadInput(f"{name}: {fault} ({type(error).__name__}: {error})", remedy) from error


@contextmanager
def without_warnings() -> Iterator[None]:
    """Keep a library's warnings from the terminal, in all threads, since they share the filters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
