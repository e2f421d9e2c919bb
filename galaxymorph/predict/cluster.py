"""Partitions of a catalogue sent to the workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from galaxymorph.base import BadInput, say

Part = TypeVar("Part")
Setup = TypeVar("Setup")
Result = TypeVar("Result")

# Partitions that wait beside each worker: enough that it never does.
AHEAD = 2
SECONDS_TO_CONNECT = 30


def map_on_cluster(
    scheduler: str,
    work: Callable[[Part, Setup], Result],
    missing: Iterator[Part],
    model: Setup,
) -> Iterator[tuple[Part, Result]]:
    """Yield each partition with what a worker made of it, as they come.

    Only this process writes, so that a worker that dies, or one whose work was given to another,
    leaves nothing behind. At most `AHEAD` partitions a worker are under way.

    Args:
        scheduler: its address.
        work: called on a worker.
        missing: the partitions.
        model: the second argument of `work`.

    Raises:
        BadInput: the extra isn't installed, or no scheduler answers.
    """
    with _client(scheduler) as client:
        from distributed import as_completed

        under_way = as_completed(loop=client.loop)
        parts = {}

        def send(number: int) -> None:
            for part in islice(missing, number):
                future = client.submit(work, part, model, pure=False)
                parts[future.key] = part
                under_way.add(future)

        _wait_for_workers(client)
        send(AHEAD * _workers(client))
        for future in under_way:
            found = future.result()
            future.release()
            yield parts.pop(future.key), found
            # Workers may have come since.
            send(max(1, AHEAD * _workers(client) - len(parts)))


@contextmanager
def _client(scheduler: str):
    try:
        from distributed import Client
    except ImportError:
        raise BadInput(
            "--scheduler needs dask.distributed, which isn't installed",
            "pip install 'galaxymorph[scale]'",
        ) from None
    try:
        client = Client(scheduler, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"--scheduler {scheduler}: no answer ({error})", "start one with: dask scheduler"
        ) from None
    try:
        yield client
    finally:
        client.close()


def _wait_for_workers(client) -> None:
    if _workers(client) == 0:
        say("waiting for workers: start some with: dask worker ADDRESS --nthreads 1")
        client.wait_for_workers(1)


def _workers(client) -> int:
    return len(client.scheduler_info(n_workers=-1)["workers"])
