"""The normalisation of pixels as a setting: a name, or means and standard deviations."""

from __future__ import annotations

from collections.abc import Sequence

from galaxymorph.base import BadInput, setting

# Mean and standard deviation by channel of pixels between 0 and 1.
Stats = tuple[tuple[float, ...], tuple[float, ...]]

NORMALISATIONS: dict[str, Stats] = {
    # torchvision's and most of timm's weights.
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    # Pixels from 0 to 1 as they are, such as Zoobot's.
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
IMAGENET_STATS = NORMALISATIONS["imagenet"]
REMEDY = (
    f"write {' or '.join(NORMALISATIONS)}, or MEAN/STD with a number for all channels or one for "
    "each, such as 0.5/0.25 or 0.485,0.456,0.406/0.229,0.224,0.225"
)


def parse_normalisation(text: str, channels: int = 3) -> Stats:
    """Return the mean and standard deviation of a setting, a number for each channel.

    Args:
        text: a name of `NORMALISATIONS`, or MEAN/STD with one number or one a channel.
        channels: of the images.

    Raises:
        BadInput: it is neither, or a standard deviation isn't over 0.
    """
    if text == "none":
        return (0.0,) * channels, (1.0,) * channels
    if text in NORMALISATIONS and channels == 3:
        return NORMALISATIONS[text]
    try:
        parts = [[float(number) for number in part.split(",")] for part in text.split("/")]
    except ValueError:
        parts = []
    if len(parts) != 2 or not all(len(part) in (1, channels) for part in parts):
        raise BadInput(f"{setting('normalise')} {text!r} is no normalisation", REMEDY)
    mean, std = (tuple(part * channels if len(part) == 1 else part) for part in parts)
    if not all(abs(number) < 1e6 for number in (*mean, *std)) or min(std) <= 0:
        raise BadInput(
            f"{setting('normalise')} {text!r}: a standard deviation must be over 0", REMEDY
        )
    return mean, std


def spell_normalisation(mean: Sequence[float], std: Sequence[float], channels: int = 3) -> str:
    """Return the setting of a mean and a standard deviation, one number or one a channel each."""
    mean, std = (tuple(part) * channels if len(part) == 1 else tuple(part) for part in (mean, std))
    for name, stats in NORMALISATIONS.items():
        if stats == (mean, std):
            return name
    return "/".join(",".join(map(repr, map(float, part))) for part in (mean, std))
