"""Commands in processes of their own, forked from one that has imported the libraries.

A fit in a new interpreter takes ten seconds of a core for imports alone. Tests of what an
interpreter does when it starts, and of the scripts of users, start one all the same.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing import forkserver, get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired

import pytest

ROOT = Path(__file__).parents[1]
_SERVER = get_context("forkserver")


class Command:
    """A command of galaxymorph that runs in a process of its own.

    `prepare` is called there before the command; it has to be picklable.
    """

    def __init__(
        self,
        *words: object,
        cwd: Path = ROOT,
        env: Mapping[str, str] | None = None,
        prepare: Callable[[], object] | None = None,
    ):
        _start_server()
        self.words = [str(word) for word in words]
        pipes = [_SERVER.Pipe(duplex=False) for _ in ("stdout", "stderr")]
        self._readers = [reader for reader, _ in pipes]
        writers = [writer for _, writer in pipes]
        variables = dict(os.environ if env is None else env)
        arguments = (self.words, cwd, variables, writers, prepare)
        self._process = _SERVER.Process(target=_run, args=arguments)
        self._process.start()
        for writer in writers:
            writer.close()

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal, or None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                self.send_signal(signal.SIGKILL)
        self._process.join()

    def result(self, timeout: float = 300) -> CompletedProcess[str]:
        """Return the exit status and what was printed, after the end."""
        end = time.monotonic() + timeout
        printed = dict.fromkeys(self._readers, b"")
        reading = list(self._readers)
        while reading:
            ready = wait(reading, max(0.0, end - time.monotonic()))
            if not ready:
                self.kill()
                raise TimeoutExpired(self.words, timeout)
            for reader in ready:
                part = os.read(reader.fileno(), 1 << 16)
                printed[reader] += part
                if not part:
                    reading.remove(reader)
        self._process.join()
        return CompletedProcess(
            self.words, self.poll(), *(text.decode() for text in printed.values())
        )


def run_command(*words: object, timeout: float = 300, **settings) -> CompletedProcess[str]:
    """Run a command in a process of its own, with the settings of a `Command`."""
    return Command(*words, **settings).result(timeout)


def import_anew(root: Path, missing: Sequence[str] = ()) -> None:
    """Let a command's process import the package again, from a folder, without some libraries."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "galaxymorph"]:
        del sys.modules[name]
    sys.path.insert(0, str(root))
    sys.modules.update(dict.fromkeys(missing))


def run_dask(kind: str, *words: str) -> None:
    """Be Dask's `scheduler` or `worker` until the end, in a command's process and in its place."""
    silent = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):
        os.dup2(silent, output)
    import_module(f"distributed.cli.dask_{kind}").main(words)


def _start_server() -> None:
    """Start the process that others are forked from, if none is there."""
    _SERVER.set_forkserver_preload(["tests.libraries"])
    with pytest.MonkeyPatch.context() as patch:
        # Python 3.11 doesn't tell the process where this one finds its modules.
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
        forkserver.ensure_running()


def _run(
    words: list[str],
    cwd: Path,
    variables: dict[str, str],
    outputs: list[Connection],
    prepare: Callable[[], object] | None,
) -> None:
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(cwd)
    for number, output in enumerate(outputs, start=1):
        os.dup2(output.fileno(), number)
        output.close()
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: PTH123, SIM115
    sys.stderr = open(2, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: PTH123, SIM115
    if prepare is not None:
        prepare()
    from galaxymorph.cli import main

    sys.argv = ["cli.py", *words]
    main()
