"""The workloads of the benchmark: shapes of input and network."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from spikern._utils.errors import InputError


@dataclass(frozen=True)
class Workload:
    """One shape: `steps` x `batch` x `features` into `layers` of `hidden`, then a readout.

    events         share of nonzero inputs; None for an analog input
    connectivity   share of the recurrent weights that are not zero
    neuron         that of the spiking network
    kinds          what is measured: "train", "infer", "memory" or "step"
    threads        overrides the number of threads of the benchmark
    """

    name: str
    title: str
    steps: int
    batch: int
    features: int
    hidden: int
    layers: int = 1
    events: float | None = 0.05
    connectivity: float = 1.0
    neuron: str = "ALIF"
    kinds: tuple[str, ...] = ("train", "infer", "memory")
    threads: int | None = None
    classes: int = 20

    @property
    def input_power(self) -> float:
        """The mean square of one input."""
        return 1.0 if self.events is None else self.events

    def data(self) -> tuple[Tensor, Tensor]:
        """Input (T, B, F) and labels (B,), the same at every call."""
        generator = torch.Generator().manual_seed(1)
        shape = self.steps, self.batch, self.features
        if self.events is None:
            x = torch.randn(shape, generator=generator)
        else:
            x = (torch.rand(shape, generator=generator) < self.events).float()
        return x, torch.randint(self.classes, (self.batch,), generator=generator)

    def small(self) -> Workload:
        """The same workload at a size that only shows that it runs."""
        return replace(self, steps=12, batch=min(self.batch, 3), features=5, hidden=16, classes=4)


WORKLOADS: dict[str, tuple[Workload, ...]] = {
    "S": (Workload("S", "140 event inputs, H = 256", 250, 64, 140, 256),),
    "H": (
        Workload("H", "700 event inputs at 2 %, 2 x 128", 250, 64, 700, 128, layers=2, events=0.02),
    ),
    "M": (Workload("M", "1 analog input, 784 steps, H = 256", 784, 128, 1, 256, events=None),),
    "L": (Workload("L", "H = 1024, 10 % connected", 250, 64, 140, 1024, connectivity=0.1),),
    "W": (Workload("W", "H = 2048", 100, 32, 140, 2048, kinds=("train",)),),
    "A": (Workload("A", "SEAdLIF, 2 x 256", 250, 64, 140, 256, layers=2, neuron="SEAdLIF"),),
    "1": (
        Workload(
            "1", "batch 1, step by step, H = 128", 250, 1, 32, 128, kinds=("step",), threads=1
        ),
    ),
    "1s": tuple(
        Workload(
            f"1s-{h}", f"batch 1, 250 steps, H = {h}", 250, 1, 32, h, kinds=("infer",), threads=1
        )
        for h in (128, 512)
    ),
}
"""The names that `--workloads` takes, and the workloads of each."""


def chosen(names: tuple[str, ...], smoke: bool = False) -> list[Workload]:
    """The workloads of these names, small ones for `smoke`.

    >>> [work.name for work in chosen(("S", "1s"))]
    ['S', '1s-128', '1s-512']
    """
    if len(set(names)) < len(names):
        raise InputError(f"workloads are named once each, got {', '.join(names)}")
    unknown = [name for name in names if name not in WORKLOADS]
    if unknown or not names:
        raise InputError(
            f"workloads are {', '.join(WORKLOADS)}; got {', '.join(unknown) or 'none'}"
        )
    found = [work for name in names for work in WORKLOADS[name]]
    return [work.small() for work in found] if smoke else found
