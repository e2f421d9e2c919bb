"""Formats of files by their first bytes, whatever their names."""

from __future__ import annotations

import bz2
import zlib

# Bytes that `sniff` takes; of a file compressed by bzip2 it takes the whole first block, up to
# 900 kB.
HEAD = 512
# Bytes that `is_fits_table` takes: five blocks of a header.
CARD, FITS_HEAD = 80, 5 * 2880
# What FITS files are called, packed or not.
FITS_ENDINGS = tuple(
    stem + packed for stem in (".fits", ".fit", ".fts") for packed in ("", ".gz", ".bz2", ".fz")
)
# The offset and value of each format's signature. Names are Pillow's if it has one.
# PNG 3 (W3C) 5.2; JPEG: ISO 10918-1 B.1.1.3; GIF89a 17; TIFF 6.0 and BigTIFF; WebP: RFC 9649;
# JPEG 2000: ISO 15444-1 I.5.1 and A.4.1; AVIF: ISO 23000-22 6; Netpbm's binary kinds;
# FITS 4.0, section 4.4.1.1.
SIGNATURES = (
    ("JPEG", 0, b"\xff\xd8\xff"),
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"),
    ("FITS", 0, b"SIMPLE  ="),
    ("TIFF", 0, b"II*\x00"),
    ("TIFF", 0, b"MM\x00*"),
    ("TIFF", 0, b"II+\x00"),
    ("TIFF", 0, b"MM\x00+"),
    ("WEBP", 8, b"WEBP"),
    ("GIF", 0, b"GIF87a"),
    ("GIF", 0, b"GIF89a"),
    ("JPEG2000", 0, b"\x00\x00\x00\x0cjP  \r\n\x87\n"),
    ("JPEG2000", 0, b"\xff\x4f\xff\x51"),
    ("AVIF", 4, b"ftypavif"),
)


def sniff(head: bytes) -> str | None:
    """Return the image format of a file by its first `HEAD` bytes, None for another file.

    That is Pillow's name of the format ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "JPEG2000",
    "AVIF", "PPM"), or "FITS", compressed by gzip or bzip2 or not.
    """
    for kind, at, signature in SIGNATURES:
        if head.startswith(signature, at):
            return kind
    if head[:2] in (b"P5", b"P6") and head[2:3].isspace():
        return "PPM"
    # Two letters are too few to tell a BMP from a text: the reserved field is zero.
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "BMP"
    return "FITS" if _unpacked(head).startswith(b"SIMPLE  =") else None


def is_fits_table(head: bytes) -> bool:
    """Tell by its first `FITS_HEAD` bytes whether a FITS file begins with a table, not an image.

    An image compressed by fpack is a table too, with ZIMAGE in its header (FITS 4.0, section 10.1).
    """
    head = _unpacked(head, FITS_HEAD) or head
    cards = [head[at : at + CARD] for at in range(0, len(head), CARD)]
    ends = [at for at, card in enumerate(cards) if card.rstrip() == b"END"]
    if not ends or not any(card.startswith(b"NAXIS   =                    0") for card in cards):
        return False
    # Headers fill whole blocks of 36 cards.
    start = (ends[0] // 36 + 1) * 36
    extension = cards[start : ends[1] if len(ends) > 1 else None]
    return (
        bool(extension)
        and extension[0].startswith((b"XTENSION= 'BINTABLE'", b"XTENSION= 'TABLE"))
        and not any(card.startswith(b"ZIMAGE  =") for card in extension)
    )


def _unpacked(head: bytes, size: int = 16) -> bytes:
    """Return the first bytes of a file compressed by gzip or bzip2, uncompressed."""
    try:
        if head.startswith(b"\x1f\x8b"):
            return zlib.decompressobj(wbits=31).decompress(head, size)
        if head.startswith(b"BZh"):
            return bz2.BZ2Decompressor().decompress(head, size)
    except (zlib.error, OSError):
        pass
    return b""
