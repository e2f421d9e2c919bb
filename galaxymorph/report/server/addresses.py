"""Images by their address on this machine: a file's, or one that a server here gives out."""

from __future__ import annotations

import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

from galaxymorph.base import BadInput

HOSTS = ("127.0.0.1", "localhost", "::1")
# Seconds that a server may take.
PATIENCE = 20


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A server of this machine must not lead to one elsewhere."""

    def redirect_request(self, *_: object) -> None:
        """Follow none."""


def image_at(address: str, most: int) -> bytes:
    """Return what an address holds.

    Args:
        address: `file:///…`, or `http://` of this machine.
        most: bytes that it may have.

    Raises:
        BadInput: it is elsewhere, isn't there, or is too large.
    """
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        raise BadInput("no address", "use file:///… or http://localhost…") from None
    if parts.scheme == "file" and host in (None, "localhost"):
        return _of_file(Path(url2pathname(parts.path)), most)
    if parts.scheme == "http" and host in HOSTS:
        return _of_server(address, most)
    raise BadInput("not an address of this machine", "use file:///… or http://localhost…")


def _of_file(path: Path, most: int) -> bytes:
    try:
        # A pipe or a device would never end.
        if not path.is_file():
            raise BadInput("no such file", "correct the address")
        with path.open("rb") as stream:
            return _limited(stream, most)
    except (OSError, ValueError):
        raise BadInput("the file can't be read", "correct the address or its permissions") from None


def _of_server(address: str, most: int) -> bytes:
    # Without the proxies that the environment may name: they are elsewhere.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
    try:
        with opener.open(address, timeout=PATIENCE) as answer:
            return _limited(answer, most)
    except (OSError, ValueError, HTTPException) as error:
        why = getattr(error, "reason", None) or "no answer"
        raise BadInput(f"that server: {why}", "correct the address") from None


def _limited(stream: BinaryIO | HTTPResponse, most: int) -> bytes:
    data = stream.read(most + 1)
    if len(data) > most:
        raise BadInput(f"over {most:,} bytes", "make a cutout")
    return data
