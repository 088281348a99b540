"""The peak memory of a training step: `python -m spikern.timing.memory JSON` prints MiB, or null.

The first training step, on two time steps, loads the code and creates the state of the optimizer.
Then the kernel's peak of the resident set is reset, one whole training step runs, and the peak is
read.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path

import torch

from spikern.timing import peers
from spikern.timing.workloads import Workload

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def peak_of_step(name: str, work: Workload, rate: float) -> float | None:
    """MiB that a training step adds to the process at its peak; None without /proc."""
    if not CLEAR.exists():
        return None
    x, y = work.data()
    model = peers.model_of(name, work, x[:, :4].contiguous(), rate)
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


def main(request: str) -> None:
    """Measure what the JSON text requests and print it."""
    settings = json.loads(request)
    torch.set_num_threads(settings["threads"])
    work = Workload(**settings["work"])
    print(json.dumps(peak_of_step(settings["name"], work, settings["rate"])))


if __name__ == "__main__":
    main(sys.argv[1])
