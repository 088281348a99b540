"""The child that measures memory: `python -m spikern.timing.memory JSON` prints MiB, or null.

A first step on two time steps loads the code and makes the optimiser's state. Then the kernel's
mark of the highest resident set is reset, one whole step runs, and the mark is read.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path

import torch

from spikern.timing import peers
from spikern.timing.peers import Dense, Leaky, spiking, with_engine
from spikern.timing.workloads import Work

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def peak_of_step(name: str, work: Work, rate: float) -> float | None:
    """MiB that the step adds to the process at its peak."""
    if not CLEAR.exists():
        return None
    x, y = work.batch_of()
    if name in peers.DENSE:
        model: torch.nn.Module = Dense(peers.DENSE[name], work)
    elif name == peers.SNNTORCH:
        model = Leaky(work)
    else:
        network = spiking(work, x[:, :4].contiguous(), rate)
        model = with_engine(network, name.removeprefix("spikern "))
    peers.train_step(model, x[:2], y)()
    step = peers.train_step(model, x, y)
    ctypes.CDLL(None).malloc_trim(0)
    CLEAR.write_text("5")
    before = status("VmRSS")
    step()
    return status("VmHWM") - before


def status(field: str) -> float:
    """A field of /proc/self/status in MiB."""
    line = next(s for s in STATUS.read_text().splitlines() if s.startswith(field + ":"))
    return int(line.split()[1]) / 1024


def main(asked: str) -> None:
    """Measure what was asked for and print it."""
    given = json.loads(asked)
    torch.set_num_threads(given["threads"])
    print(json.dumps(peak_of_step(given["name"], Work(**given["work"]), given["rate"])))


if __name__ == "__main__":
    main(sys.argv[1])
