"""Former names of modules, to which pickled models refer."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# Only those that a `model.pkl` names: see `tests/predict/test_former_runs.py`.
FORMER_NAMES = {
    "galaxymorph.learn.loaders": "galaxymorph.learn.acceleration.loaders",
    "galaxymorph.learn.losses": "galaxymorph.learn.targets.former_losses",
    "galaxymorph.learn.objectives": "galaxymorph.learn.targets.former_losses",
    "galaxymorph.learn.recipes": "galaxymorph.learn.recipe",
    "galaxymorph.learn.tree_head": "galaxymorph.learn.targets.tree_head",
}


class _FormerNames(MetaPathFinder, Loader):
    """Import a module by its former name: it is the module of today's name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in FORMER_NAMES else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return ModuleType(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = importlib.import_module(FORMER_NAMES[module.__name__])


def find_former_names() -> None:
    """Let modules be imported by their former names too, so that `load_learner` reads old files."""
    sys.meta_path.append(_FormerNames())
