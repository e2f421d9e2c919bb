"""Partitions of a catalogue sent to the workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from galaxymorph.base import BadInput, import_extra, say, setting

Part = TypeVar("Part")
Setup = TypeVar("Setup")
Result = TypeVar("Result")

# Partitions under way for each worker, so that none is idle.
AHEAD = 2
SECONDS_TO_CONNECT = 30


def map_on_cluster(
    scheduler: str, work: Callable[[Part, Setup], Result], parts: Iterator[Part], setup: Setup
) -> Iterator[tuple[Part, Result]]:
    """Yield each partition with its result from a worker, as they come.

    Only this process writes, so that a worker that dies leaves nothing behind. At most `AHEAD`
    partitions a worker are under way.

    Args:
        scheduler: its address.
        work: called on a worker.
        parts: the partitions.
        setup: the second argument of `work`.

    Raises:
        BadInput: the extra isn't installed, or no scheduler answers.
    """
    with _client(scheduler) as client:
        from distributed import as_completed

        under_way = as_completed(loop=client.loop)
        sent: dict[str, Part] = {}

        def send(number: int) -> None:
            for part in islice(parts, number):
                future = client.submit(work, part, setup, pure=False)
                sent[future.key] = part
                under_way.add(future)

        _wait_for_workers(client)
        send(AHEAD * _workers(client))
        for future in under_way:
            result = future.result()
            future.release()
            yield sent.pop(future.key), result
            # Workers may have come since.
            send(max(1, AHEAD * _workers(client) - len(sent)))


@contextmanager
def _client(scheduler: str) -> Iterator[Any]:
    distributed = import_extra("distributed", "scale", setting("scheduler"))
    try:
        client = distributed.Client(scheduler, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{setting('scheduler', scheduler)}: no answer ({error})",
            "start one with `dask scheduler`",
        ) from error
    try:
        yield client
    finally:
        client.close()


def _wait_for_workers(client: Any) -> None:
    if _workers(client) == 0:
        say("waiting for workers; start them with `dask worker ADDRESS --nthreads 1`")
        client.wait_for_workers(1)


def _workers(client: Any) -> int:
    return len(client.scheduler_info(n_workers=-1)["workers"])
