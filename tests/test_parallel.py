"""Jobs compute on one thread, on which a vanishing number is zero."""

import torch

from spikern._utils import processes

TINY = 1e-40
"""Too small for float32's full precision."""


def settings():
    """Threads, and whether tiny numbers are zero."""
    return torch.get_num_threads(), float(torch.full((), TINY) * 1.0) == 0.0


def test_one_thread_flushes_and_leaves_all_as_it_was():
    before = settings()
    assert before[1] is False
    with processes.one_thread():
        assert settings() == (1, True)
        with processes.one_thread():
            pass
        assert settings() == (1, True)
    assert settings() == before
