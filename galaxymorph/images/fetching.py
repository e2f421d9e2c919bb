"""Getting addresses politely: at a rate, with a name, and again after a failure."""

from __future__ import annotations

import email.utils
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPException
from urllib.parse import urlsplit

from galaxymorph.base import BadInput, say

# Statuses of a server that is busy or broken for now (RFC 9110, section 15; RFC 6585, section 4).
PASSING = (408, 425, 429, 500, 502, 503, 504)
# Seconds before a repetition: the first time, and at most. A server's Retry-After counts instead.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
LONGEST_RETRY_AFTER = 600.0
# Requests a second, and seconds to wait for an answer.
RATE, TIMEOUT = 2.0, 60.0
LARGEST = 50_000_000


class Refused(Exception):
    """A server has nothing at an address; `status` is HTTP's."""

    def __init__(self, status: int, reason: str):
        super().__init__(f"HTTP {status} {reason}".strip())
        self.status = status


class Unanswered(Exception):
    """No usable answer came, however often the address was asked for."""


class Passing(Exception):
    """An answer is damaged, or the server can't give one now; `pause` is what it asks for."""

    def __init__(self, words: str, pause: float | None = None):
        super().__init__(words)
        self.pause = pause


@dataclass
class Fetcher:
    """Gets addresses.

    Args:
        rate: requests a second at most.
        timeout: seconds to wait for an answer, and within one.
        retries: how often an address is tried again.
        first_pause: seconds before the first repetition; each further pause is twice as long.
    """

    rate: float
    timeout: float
    retries: int
    first_pause: float = FIRST_PAUSE
    _next: float = field(default=0.0, init=False)

    def get(self, address: str) -> bytes:
        """Return the body at an address, complete.

        Raises:
            Refused: the server answers that there is nothing.
            Unanswered: it didn't answer completely, however often it was tried.
        """
        for attempt in range(self.retries + 1):
            try:
                return self._once(address)
            except Passing as failure:
                if attempt == self.retries:
                    raise Unanswered(str(failure)) from failure
                self._wait_again(failure, attempt)
        raise AssertionError

    def again(self, words: str, attempt: int) -> None:
        """Wait before an address is tried again, whose answer the caller couldn't use.

        Raises:
            Unanswered: it was tried often enough.
        """
        if attempt >= self.retries:
            raise Unanswered(words)
        self._wait_again(Passing(words), attempt)

    def _wait_again(self, failure: Passing, attempt: int) -> None:
        pause = min(self.first_pause * 2**attempt, LONGEST_PAUSE)
        if failure.pause is not None:
            pause = min(failure.pause, LONGEST_RETRY_AFTER)
        if pause >= 10:
            say(f"{failure}: trying again in {pause:.0f} s")
        time.sleep(pause)

    def _once(self, address: str) -> bytes:
        self._wait_for_turn()
        from galaxymorph import __version__

        agent = f"galaxymorph/{__version__} (image cutouts)"
        request = urllib.request.Request(address, headers={"User-Agent": agent})
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                data = answer.read(LARGEST + 1)
                expected = answer.headers.get("Content-Length")
        except urllib.error.HTTPError as error:
            with error:
                if error.code in PASSING:
                    words = f"HTTP {error.code} {error.reason}".strip()
                    raise Passing(words, _retry_after(error.headers)) from error
                raise Refused(error.code, str(error.reason)) from error
        except (urllib.error.URLError, HTTPException, OSError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise Passing(f"{urlsplit(address).netloc} doesn't answer ({reason})") from error
        if len(data) > LARGEST:
            raise Refused(200, f"with more than {LARGEST:,} bytes")
        if expected and expected.isdecimal() and int(expected) != len(data):
            raise Passing(f"the answer is cut short ({len(data):,} of {int(expected):,} bytes)")
        return data

    def _wait_for_turn(self) -> None:
        now = time.monotonic()
        if now < self._next:
            time.sleep(self._next - now)
        self._next = max(now, self._next) + 1 / self.rate


def _retry_after(headers: Message) -> float | None:
    """Return the seconds of a Retry-After header: a number, or a date (RFC 9110, 10.2.3)."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())


def require_http(address: str | None, option: str) -> None:
    """Raise BadInput for an address that isn't one of HTTP."""
    if address is not None and urlsplit(address).scheme not in ("http", "https"):
        raise BadInput(f"{option} {address}: no address", "give one that begins with https://")
