"""The networks that are compared: one recurrent stack and one readout each."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from spikern import init
from spikern.bench.works import Work
from spikern.layers import Readout, SpikingRNN
from spikern.network import Network

SEED = 0
BETA = 0.95
"""snnTorch's membrane decay, about 20 steps, as ALIF's."""
SHARE = 8
"""Samples that snnTorch's rate is set on."""


def mask_recurrence(weight: Tensor, connectivity: float) -> None:
    """Keep a random share of a recurrent matrix; the rest is zero and gets no gradient."""
    if connectivity < 1.0:
        mask = (torch.rand(weight.shape) < connectivity).to(weight.dtype)
        with torch.no_grad():
            weight.mul_(mask)
        weight.register_hook(lambda gradient: gradient * mask)  # type: ignore[no-untyped-call]


def spiking(work: Work, x: Tensor, rate: float) -> Network:
    """ALIF without bias, calibrated to fire at `rate`, and a leaky readout."""
    torch.manual_seed(SEED)
    body = SpikingRNN(
        "ALIF", work.features, work.hidden, work.layers, bias=False,
        recurrent=work.connectivity if work.connectivity < 1.0 else True,
        input_power=work.input_power,
    )  # fmt: skip
    init.calibrate(body, x, rate=rate)
    return Network(body, Readout(work.hidden, work.classes), "mean")


def with_engine(network: Network, engine: str) -> Network:
    """The same network, its weights shared, on another engine."""
    stacks: list[Any] = []
    for stack in (network.body, network.readout):
        assert isinstance(stack, SpikingRNN)
        other = object.__new__(type(stack))
        other.__dict__ = stack.__dict__ | {"engine_asked": engine}
        stacks.append(other)
    return Network(stacks[0], stacks[1], network.answer)


class Dense(nn.Module):
    """torch's RNN, GRU or LSTM, and a linear readout of the mean of its last layer."""

    def __init__(self, kind: str, work: Work, hidden: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(SEED)
        hidden = hidden or work.hidden
        self.rnn = getattr(nn, kind)(work.features, hidden, work.layers)
        self.readout = nn.Linear(hidden, work.classes)

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, C) and the state: h, and c where there is one."""
        before: Any = (state if len(state) > 1 else state[0]) if state else None
        out, after = self.rnn(x, before)
        return self.readout(out.mean(0)), *(after if isinstance(after, tuple) else (after,))


class Leaky(nn.Module):
    """Layers of snnTorch's RLeaky, looped over time as its documentation does."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        snntorch: Any = importlib.import_module("snntorch")
        torch.manual_seed(SEED)
        sizes = [work.features] + work.layers * [work.hidden]
        self.inputs = nn.ModuleList(map(nn.Linear, sizes, sizes[1:]))
        self.cells = nn.ModuleList(
            snntorch.RLeaky(beta=BETA, linear_features=work.hidden) for _ in range(work.layers)
        )
        self.readout = nn.Linear(work.hidden, work.classes)
        for name, weight in self.cells.named_parameters():
            if name.endswith("recurrent.weight"):
                mask_recurrence(weight, work.connectivity)

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, C) and the state: spikes and membrane of each layer."""
        z, after = x, []
        for k in range(len(self.cells)):
            z, *last = self.layer(k, z, *state[2 * k : 2 * k + 2])
            after += last
        return self.readout(z.mean(0)), *after

    def layer(self, k: int, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """The spikes (T, B, H) of layer k, and its state."""
        cell: Any = self.cells[k]
        z, v = state or cell.reset_mem()
        current = self.inputs[k](x)
        out = []
        for i in current:
            z, v = cell(i, z, v)
            out.append(z)
        return torch.stack(out), z, v

    def calibrate(self, x: Tensor, rate: float) -> list[float]:
        """Scale each layer's input so that it fires at `rate`; returns the rates on all of x."""
        few, rates = x[:, :SHARE], []
        with torch.no_grad():
            for k in range(len(self.cells)):
                weights = [p.clone() for p in self.inputs[k].parameters()]

                def at(log_gain: float, k: int = k, z: Tensor = few, kept: Any = weights) -> float:
                    for p, before in zip(self.inputs[k].parameters(), kept):
                        p.copy_(before * 2.0**log_gain)
                    return float(self.layer(k, z)[0].mean())

                bisect(at, rate)
                few = self.layer(k, few)[0]
            for k in range(len(self.cells)):
                x = self.layer(k, x)[0]
                rates.append(float(x.mean()))
        return rates


def bisect(measure: Callable[[float], float], target: float, rounds: int = 12) -> None:
    """Call `measure`, a rising function, ever nearer to where it gives `target`, in -8..8."""
    low, high = -8.0, 8.0
    for _ in range(rounds):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if measure(middle) < target else (low, middle)


def parameters(module: nn.Module) -> int:
    """Trainable numbers that are not masked away."""
    return sum(int(p.count_nonzero()) for p in module.parameters() if p.requires_grad)


def lstm_of(count: int, work: Work) -> int:
    """The hidden size of the LSTM whose parameter count is nearest to `count`."""

    def size(hidden: int) -> int:
        layers = [work.features] + (work.layers - 1) * [hidden]
        return sum(4 * hidden * (f + hidden + 2) for f in layers) + work.classes * (hidden + 1)

    return min(range(1, work.hidden + 1), key=lambda hidden: abs(size(hidden) - count))
