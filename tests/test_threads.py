"""Blocks on torch's threads: each runs once, errors are raised, with or without OpenMP."""

import threading
from pathlib import Path

import pytest
import torch

from spikern.engines import threads

LIBRARIES = list((Path(torch.__file__).parent / "lib").glob("libgomp*"))


@pytest.fixture(params=["openmp", "own threads"])
def two_threads(request, monkeypatch):
    """Two threads of torch, its runtime found or not."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    if request.param == "own threads":
        monkeypatch.setattr(threads, "openmp", lambda: None)
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(not LIBRARIES, reason="this torch brings no libgomp")
def test_torchs_runtime_is_found():
    assert threads.openmp() is not None


def test_every_block_is_done_once_by_two_threads(two_threads):
    both = threading.Barrier(2, timeout=30)
    done = []

    def work(block):
        both.wait()  # which one thread alone would never pass
        done.append((block, threading.get_ident()))

    threads.in_threads(work, 6)
    assert sorted(block for block, _ in done) == list(range(6))
    assert len({thread for _, thread in done}) == 2


def test_an_error_in_a_block_is_raised(two_threads):
    def work(block):
        if block == 3:
            raise ValueError("block 3")

    with pytest.raises(ValueError, match="block 3"):
        threads.in_threads(work, 6)
