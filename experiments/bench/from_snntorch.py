"""A snnTorch loop and the layer that `from_snntorch` makes of it: a training step of each.

python experiments/bench/from_snntorch.py          # prints the row of docs/from_snntorch.md

Linear and RLeaky, T=250 steps, B=64 samples, F=140 inputs of which 5 % are events, H=256 neurons
whose input weights are set so that they fire at about 5 %. A step is projection, recurrence,
cross entropy on the mean rate of 20 readout units, backward, Adam. Same weights, same input. The
surrogate is snnTorch's default, atan, which is nowhere zero; the third row has one that is, so
that the backward pass can leave neurons out.
"""

from __future__ import annotations

import platform
import statistics
from dataclasses import dataclass
from typing import Any

import snntorch
import torch
import tyro
from torch import Tensor, nn

from spikern.interop.snntorch import from_snntorch
from spikern.neurons.surrogate import triangular
from spikern.timing.measurement import interleaved, threads
from spikern.timing.peers import bisect, train_step


@dataclass(frozen=True)
class Config:
    """Shapes, and how often each side is timed."""

    steps: int = 250
    batch: int = 64
    features: int = 140
    hidden: int = 256
    events: float = 0.05
    rate: float = 0.05
    beta: float = 0.95
    repeats: int = 7
    threads: int = 1


class Loop(nn.Module):
    """The user's network: a time loop as in snnTorch's documentation, projection taken out."""

    def __init__(self, linear: nn.Linear, cell: Any, readout: nn.Linear) -> None:
        super().__init__()
        self.linear, self.cell, self.readout = linear, cell, readout

    def hidden(self, x: Tensor) -> Tensor:
        """The spikes (T, B, H)."""
        spk, mem = self.cell.reset_mem()
        spikes = []
        for current in self.linear(x):
            spk, mem = self.cell(current, spk, mem)
            spikes.append(spk)
        return torch.stack(spikes)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Logits (B, C)."""
        return (self.readout(self.hidden(x).mean(0)),)


class Moved(nn.Module):
    """The same network with the loop in one call."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self.layer = from_snntorch(loop.linear, loop.cell)
        self.readout = loop.readout

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Logits (B, C)."""
        spikes, _ = self.layer(x)
        return (self.readout(spikes.mean(0)),)


def main(cfg: Config) -> None:
    """Build, compare, time, print."""
    torch.manual_seed(0)
    x = (torch.rand(cfg.steps, cfg.batch, cfg.features) < cfg.events).float()
    y = torch.randint(20, (cfg.batch,))
    cell = snntorch.RLeaky(beta=cfg.beta, linear_features=cfg.hidden)
    loop = Loop(nn.Linear(cfg.features, cfg.hidden), cell, nn.Linear(cfg.hidden, 20))
    with threads(cfg.threads):
        with torch.no_grad():
            original = loop.linear.weight.clone()

            def rate(log_gain: float) -> float:
                loop.linear.weight.copy_(original * 2.0**log_gain)
                return float(loop.hidden(x[:, :8]).mean())

            bisect(rate, cfg.rate)
            theirs = loop.hidden(x)
        moved = Moved(loop)
        with torch.no_grad():
            same = float((moved.layer(x)[0] == theirs).float().mean())
        compact = Moved(loop)
        compact.layer.surrogate = triangular()
        models = {"snnTorch": loop, "spikern": moved, "spikern, triangular surrogate": compact}
        calls = {name: train_step(model, x, y) for name, model in models.items()}
        samples = interleaved(calls, cfg.repeats)
    print(f"{platform.processor() or platform.machine()}, {cfg.threads} threads, {cfg}")
    print(f"rate {float(theirs.mean()):.4f}, equal outputs {same:.6f}")
    for name, ms in samples.items():
        ratios = [a / b for a, b in zip(samples["snnTorch"], ms)]
        print(
            f"{name}: median {statistics.median(ms):.1f} ms ({min(ms):.1f}..{max(ms):.1f}), "
            f"{statistics.median(ratios):.2f} times as fast as snnTorch"
        )


if __name__ == "__main__":
    main(tyro.cli(Config))
