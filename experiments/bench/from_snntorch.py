"""A snnTorch loop and the layer that `from_snntorch` makes of it: a training step of each.

python experiments/bench/from_snntorch.py          # prints the row of docs/from_snntorch.md

Linear and RLeaky on work S of the benchmark: T=250 steps, B=64 samples, F=140 inputs of which 5 %
are events, H=256 neurons whose input weights are set so that they fire at about 5 %. A step is
projection, recurrence, cross entropy on the mean rate of 20 readout units, backward, Adam. Same
weights, same input. The surrogate is snnTorch's default, atan, which is nowhere zero; the third row
has one that is, so that the backward pass can leave neurons out.
"""

from __future__ import annotations

import platform
import statistics
from dataclasses import dataclass

import torch
import tyro
from torch import Tensor, nn

from spikern._utils.program import errors_in_one_line
from spikern.interop.snntorch import from_snntorch
from spikern.neurons.surrogate import triangular
from spikern.timing.measurement import interleaved, threads
from spikern.timing.peers import Leaky, train_step
from spikern.timing.workloads import WORKLOADS


@dataclass(frozen=True)
class Config:
    """How often each side is timed, on how many threads, and how often its neurons fire."""

    rate: float = 0.05
    repeats: int = 7
    threads: int = 1


class Moved(nn.Module):
    """The same network with the loop in one call."""

    def __init__(self, loop: Leaky) -> None:
        super().__init__()
        self.layer = from_snntorch(loop.inputs[0], loop.cells[0])  # type: ignore[arg-type]
        self.readout = loop.readout

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Logits (B, C)."""
        spikes, _ = self.layer(x)
        return (self.readout(spikes.mean(0)),)


def main(cfg: Config) -> None:
    """Build, compare, time, print."""
    (work,) = WORKLOADS["S"]
    x, y = work.data()
    loop = Leaky(work)
    with threads(cfg.threads):
        (rate,) = loop.calibrate(x, cfg.rate)
        moved, compact = Moved(loop), Moved(loop)
        compact.layer.surrogate = triangular()
        with torch.no_grad():
            same = float((moved.layer(x)[0] == loop.layer(0, x)[0]).float().mean())
        models = {"snnTorch": loop, "spikern": moved, "spikern, triangular surrogate": compact}
        calls = {name: train_step(model, x, y) for name, model in models.items()}
        samples = interleaved(calls, cfg.repeats)
    print(f"{platform.processor() or platform.machine()}, {cfg.threads} threads, {cfg}")
    print(f"rate {rate:.4f}, equal outputs {same:.6f}")
    for name, ms in samples.items():
        ratios = [a / b for a, b in zip(samples["snnTorch"], ms)]
        print(
            f"{name}: median {statistics.median(ms):.1f} ms ({min(ms):.1f}..{max(ms):.1f}), "
            f"{statistics.median(ratios):.2f} times as fast as snnTorch"
        )


if __name__ == "__main__":
    with errors_in_one_line():
        main(tyro.cli(Config))
