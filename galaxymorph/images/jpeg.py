"""JPEG pictures by torchvision's decoder: Pillow's pixels in half the time.

Both are libjpeg-turbo; but Pillow holds Python's lock for much of its work, so that threads wait
for each other, and copies the pixels twice.
"""

from __future__ import annotations

import sys

import numpy as np

START, SCAN, END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"
# Markers of frame headers with Huffman coding (ITU-T T.81, table B.1): baseline, extended,
# progressive. Arithmetic coding is left to Pillow.
FRAME_HEADERS = {0xC0, 0xC1, 0xC2}


def jpeg_pixels(data: bytes, most: int) -> np.ndarray | None:
    """Return a JPEG's RGB pixels, uint8 of shape (height, width, 3), or None for Pillow to judge.

    That is anything but a whole JPEG of three channels of 8 bits, and everything where PyTorch
    isn't loaded.

    Args:
        data: the file's bytes.
        most: pixels; a larger picture is left to Pillow.
    """
    if "torch" not in sys.modules or not data.startswith(START):
        return None
    shape = _shape(data)
    # In a scan's data no such marker occurs, so a file that was cut short has none behind it.
    whole = data.rfind(END) > data.rfind(SCAN) > 0
    if shape is None or shape[0] * shape[1] > most or not whole:
        return None
    import torch
    from torchvision.io import decode_jpeg

    # A copy, since PyTorch warns of memory that can't be written to.
    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    try:
        return decode_jpeg(encoded).permute(1, 2, 0).numpy()
    except RuntimeError:
        return None


def _shape(data: bytes) -> tuple[int, int] | None:
    """Return height and width by the frame header, if it has three channels of 8 bits.

    ITU-T T.81, section B.1.1.4 and figure B.3: segments of a marker and a length of two bytes.
    """
    at = 2
    while at + 9 < len(data):
        if data[at] != 0xFF:
            return None
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xFF:
            at += 1
            continue
        if marker in FRAME_HEADERS:
            depth, channels = data[at + 4], data[at + 9]
            height, width = (
                int.from_bytes(data[start : start + 2], "big") for start in (at + 5, at + 7)
            )
            return (height, width) if (depth, channels) == (8, 3) and height else None
        if marker == SCAN[1] or length < 2:
            return None
        at += 2 + length
    return None
