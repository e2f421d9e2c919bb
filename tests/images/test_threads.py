"""Threads that decode images."""

import torch

from galaxymorph.images import decoding_threads


def test_threads_that_decode_start_no_threads_of_their_own():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with decoding_threads() as pool:
            assert set(pool.map(lambda _: torch.get_num_threads(), range(8))) == {1}
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
