"""Work in other processes: in order, on one thread each, with the errors of the first failure."""

import math
import os

import pytest

from galaxymorph.base.process import map_in_processes


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_results_come_in_the_order_of_the_jobs(workers):
    assert list(map_in_processes(math.sqrt, [9.0, 4.0, 1.0], workers)) == [3.0, 2.0, 1.0]
    assert list(map_in_processes(math.sqrt, [], workers)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_job_is_raised_after_the_results_before_it(workers):
    results = map_in_processes(math.sqrt, [4.0, -1.0, 9.0], workers)
    assert next(results) == 2.0
    with pytest.raises(ValueError, match="math domain|nonnegative"):
        next(results)


def test_processes_compute_on_one_thread_and_leave_this_process_alone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    names = ["OMP_NUM_THREADS", "OMP_NUM_THREADS"]
    assert list(map_in_processes(os.getenv, names, 2)) == ["1", "1"]
    assert os.environ["OMP_NUM_THREADS"] == "7"
