"""Images by their address on this machine: of a file or of a local server."""

from __future__ import annotations

import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

from galaxymorph.base import BadInput

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Seconds within which a server answers.
TIMEOUT = 20


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Redirects are refused: they may lead to another machine."""

    def redirect_request(self, *_: object) -> None:
        """Follow none."""


def image_at(address: str, most: int) -> bytes:
    """Return the content of an address.

    Args:
        address: `file:///…`, or `http://` of this machine.
        most: largest number of bytes.

    Raises:
        BadInput: it is of another machine, doesn't exist, or is too large.
    """
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        raise BadInput("no address", "use file:///… or http://localhost…") from None
    if parts.scheme == "file" and host in (None, "localhost"):
        return _of_file(Path(url2pathname(parts.path)), most)
    if parts.scheme == "http" and host in LOOPBACK:
        return _of_server(address, most)
    raise BadInput("not an address of this machine", "use file:///… or http://localhost…")


def _of_file(path: Path, most: int) -> bytes:
    try:
        # Reading a pipe or a device may never end.
        if not path.is_file():
            raise BadInput("no such file", "correct the address")
        with path.open("rb") as stream:
            return _limited(stream, most)
    except (OSError, ValueError):
        raise BadInput("the file can't be read", "correct the address or its permissions") from None


def _of_server(address: str, most: int) -> bytes:
    # Without proxies of the environment, which are other machines.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
    try:
        with opener.open(address, timeout=TIMEOUT) as answer:
            return _limited(answer, most)
    except (OSError, ValueError, HTTPException) as error:
        why = getattr(error, "reason", None) or "no answer"
        raise BadInput(f"that server: {why}", "correct the address") from None


def _limited(stream: BinaryIO | HTTPResponse, most: int) -> bytes:
    data = stream.read(most + 1)
    if len(data) > most:
        raise BadInput(f"over {most:,} bytes", "make a cutout")
    return data
