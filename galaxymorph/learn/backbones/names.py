"""Names of the architectures of torchvision and timm, which take seconds to import."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from galaxymorph.base import BadInput, near_names, setting

# A function that makes a model, below its decorators.
MODEL = re.compile(r"^@register_model\b.*\n(?:[@ )].*\n)*def (\w+)\(", re.MULTILINE)


def require_architecture(arch: str) -> None:
    """Raise BadInput for a name that no model of torchvision and timm has, importing neither.

    Where timm is imported, the name isn't checked: a plugin may have registered models.
    """
    names = () if "timm" in sys.modules else _names_in_source()
    if names and arch.partition(".")[0] not in names:
        raise unknown_architecture(arch, names)


def unknown_architecture(arch: str, names: Iterable[str]) -> BadInput:
    """Return the error of an unknown architecture.

    Args:
        arch: its name.
        names: of known ones, for suggestions.
    """
    near = near_names(arch, list(names))
    remedy = f"did you mean {' or '.join(near)}?" if near else "see timm.list_models()"
    if "/" in arch:
        remedy = f"write hf_hub:{arch} for the hub, or local-dir:{arch} for a folder"
    return BadInput(f"{setting('arch', arch)}: unknown to torchvision and timm", remedy)


@lru_cache(maxsize=1)
def _names_in_source() -> tuple[str, ...]:
    """Return the names in the libraries' files; none where these can't be found."""
    specs = [find_spec(library) for library in ("torchvision", "timm")]
    folders = [Path(spec.origin).parent / "models" for spec in specs if spec and spec.origin]
    files = [file for folder in folders for file in sorted(folder.rglob("*.py"))]
    return tuple(name for file in files for name in MODEL.findall(file.read_text("utf-8")))
