import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxymorph.judge import drift_between, energy, neighbour_distance
from galaxymorph.judge.robustness.drift import _kernel, _mmd


def cloud(n: int, shift: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (n, 16))


def test_the_same_kind_of_images_seldom_warns_and_another_kind_does():
    same = [drift_between(cloud(80, 0, k), cloud(80, 0, 100 + k), k) for k in range(10)]
    assert sum(each.warns for each in same) == 0
    assert np.mean([each.p < 0.5 for each in same]) > 0.1
    other = drift_between(cloud(80, 0, 1), cloud(60, 1, 2), 3)
    assert other.warns
    assert other.p == pytest.approx(1 / 501)
    assert other.auroc > 0.95


@settings(max_examples=15, deadline=None)
@given(n=st.integers(2, 8), m=st.integers(2, 8), seed=st.integers(0, 99))
def test_the_discrepancy_is_the_papers_sum(n, m, seed):
    both = cloud(n + m, 0, seed)
    kernel = _kernel(both)
    x, y, mixed = kernel[:n, :n], kernel[n:, n:], kernel[:n, n:]
    expected = (
        (x.sum() - np.trace(x)) / (n * (n - 1))
        + (y.sum() - np.trace(y)) / (m * (m - 1))
        - 2 * mixed.mean()
    )
    assert _mmd(kernel, (np.arange(n + m) >= n)[None])[0] == pytest.approx(expected, abs=1e-9)


def test_an_outlier_is_farther_and_has_more_energy():
    known = np.abs(cloud(50, 3, 0))
    strange = np.eye(16)[:1] * 5
    assert neighbour_distance(known, strange)[0] > neighbour_distance(known[:40], known[40:]).max()
    assert neighbour_distance(known, known * 7) == pytest.approx(neighbour_distance(known, known))
    assert energy(np.array([[9.0, 0, 0]]))[0] < energy(np.array([[1.0, 1, 1]]))[0]


def test_distances_are_those_of_scikit_learns_neighbours():
    from sklearn.neighbors import NearestNeighbors

    rng = np.random.default_rng(2)
    known = rng.normal(size=(300, 20)).astype(np.float32)
    new = np.concatenate([rng.normal(size=(1500, 20)).astype(np.float32), known[:5]])
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (known, new)]
    expected = NearestNeighbors(n_neighbors=10).fit(unit[0]).kneighbors(unit[1])[0][:, -1]
    assert neighbour_distance(known, new) == pytest.approx(expected, abs=1e-5)
    # Fewer than ten: the farthest of them.
    assert neighbour_distance(known[:3], known[:1])[0] > 0
