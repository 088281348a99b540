"""Blocks on torch's threads, with or without OpenMP, and jobs on one thread."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from spikern._utils import processes
from spikern.engines import threads

LIBRARIES = list((Path(torch.__file__).parent / "lib").glob("libgomp*"))


@pytest.fixture(params=["openmp", "own threads"])
def two_threads(request, monkeypatch):
    """Two threads of torch, with its own runtime and without."""
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
    runs = []

    def work(block):
        both.wait()  # which one thread alone would never pass
        runs.append((block, threading.get_ident()))

    threads.in_threads(work, 6)
    assert sorted(block for block, _ in runs) == list(range(6))
    assert len({thread for _, thread in runs}) == 2


def test_an_error_in_a_block_is_raised(two_threads):
    def work(block):
        if block == 3:
            raise ValueError("block 3")

    with pytest.raises(ValueError, match="block 3"):
        threads.in_threads(work, 6)


AT_THE_FORK = """
import os, signal, torch, spikern
torch.set_num_threads(2)
torch.rand(2_000_000).exp().sum()  # torch's runtime has threads, which fork does not copy
child = os.fork()
if child == 0:
    signal.alarm(100)  # it would wait for ever
    with torch.no_grad():
        spikern.build("LIF", 4, 16, 3)(torch.rand(20, 32, 4))
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_that_loads_the_engines_first_has_threads_of_its_own():
    subprocess.run([sys.executable, "-c", AT_THE_FORK], check=True)


def settings():
    """Threads, and whether a number too small for float32's full precision is zero."""
    return torch.get_num_threads(), float(torch.full((), 1e-40) * 1.0) == 0.0


def test_one_thread_flushes_and_leaves_all_as_it_was():
    before = settings()
    assert before[1] is False
    with processes.one_thread():
        assert settings() == (1, True)
        with processes.one_thread():
            pass
        assert settings() == (1, True)
    assert settings() == before
