"""How FITS becomes a picture: what a model is told, and every decoding is given."""

from __future__ import annotations

from dataclasses import dataclass, replace

from galaxymorph.base import BadInput, use_one_of

STRETCHES = ("lupton", "asinh", "zscale", "linear")


@dataclass(frozen=True)
class Rendering:
    """How FITS becomes RGB: a stretch of `STRETCHES`, and bands, red first, None for its own."""

    stretch: str = "lupton"
    bands: str | None = None

    def changed(self, stretch: str | None = None, bands: str | None = None) -> Rendering:
        """Return the rendering with what is given in place of its own.

        Raises:
            BadInput: the stretch isn't known.
        """
        if stretch is not None and stretch not in STRETCHES:
            remedy = use_one_of(stretch, STRETCHES, f"use {', '.join(STRETCHES)}")
            raise BadInput(f"--stretch {stretch}: unknown", remedy)
        return replace(self, stretch=stretch or self.stretch, bands=bands or self.bands)


DEFAULT = Rendering()
