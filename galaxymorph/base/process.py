"""Whether the process is the command line's own, so that its memory may be managed."""

from __future__ import annotations

_own = False


def own_process() -> None:
    """State that nothing but a command of galaxymorph's runs in this process."""
    global _own
    _own = True


def is_own_process() -> bool:
    """Tell whether the process is a command's: in a notebook or script it is the user's."""
    return _own
