"""Workers that decode images."""

import multiprocessing
import os
import threading

import numpy as np
import pytest
import torch

from galaxymorph.images import workers


def twice(number: int) -> tuple[int, np.ndarray]:
    """Return what tells the process that did it, and an array of the number doubled."""
    return os.getpid(), np.full(3, 2 * number)


@pytest.mark.parametrize("processes", [False, True])
def test_results_come_in_order(monkeypatch, processes):
    if processes:
        monkeypatch.setattr(workers, "LEAST_JOBS", 10)
        monkeypatch.setattr(workers, "LEAST_CORES", 1)
    torch.manual_seed(0)
    expected = torch.initial_seed(), torch.rand(1)
    torch.manual_seed(0)
    results = list(workers.map_images(twice, range(100), 5))
    assert [array.tolist() for _, array in results] == [[2 * n] * 3 for n in range(100)]
    assert ({pid for pid, _ in results} == {os.getpid()}) != processes
    # No random number was drawn.
    assert (torch.initial_seed(), torch.rand(1)) == expected


def test_few_images_or_few_cores_take_threads(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: workers.LEAST_CORES - 1)
    monkeypatch.setattr(workers, "_by_processes", None)
    assert len(list(workers.map_images(twice, range(workers.LEAST_JOBS), 5))) == workers.LEAST_JOBS
    monkeypatch.setattr(os, "cpu_count", lambda: workers.LEAST_CORES)
    assert len(list(workers.map_images(twice, range(workers.LEAST_JOBS - 1), 5))) == (
        workers.LEAST_JOBS - 1
    )


def in_a_daemon(results) -> None:
    """Send what a daemonic process gets."""
    results.put([array.tolist() for _, array in workers.map_images(twice, range(4), 2)])


def test_a_daemonic_process_takes_threads(monkeypatch):
    monkeypatch.setattr(workers, "LEAST_JOBS", 1)
    monkeypatch.setattr(workers, "LEAST_CORES", 1)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=in_a_daemon, args=(results,), daemon=True)
    process.start()
    assert results.get(timeout=60) == [[2 * n] * 3 for n in range(4)]
    process.join()


def test_a_failure_leaves_the_number_of_threads_as_it_was():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), workers.core_threads() as pool:
        list(pool.map({}.__getitem__, [1]))
    visited = []
    thread = threading.Thread(target=lambda: visited.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert visited == [before] == [torch.get_num_threads()]


def test_threads_that_decode_start_no_threads_of_their_own():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with workers.core_threads() as pool:
            assert set(pool.map(lambda _: torch.get_num_threads(), range(8))) == {1}
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
