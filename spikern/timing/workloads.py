"""The works: shapes of input and network that everything is timed on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from spikern._utils.errors import InputError


@dataclass(frozen=True)
class Work:
    """One shape: `steps` x `batch` x `features` into `layers` of `hidden`, then a readout.

    `events` is the share of nonzero inputs, None for analog ones; `connectivity` the share of
    recurrent weights that are not zero; `threads` overrides what the run is given.
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
    whats: tuple[str, ...] = ("train", "infer", "memory")
    threads: int | None = None
    classes: int = 20

    @property
    def input_power(self) -> float:
        """The mean square of one input."""
        return 1.0 if self.events is None else self.events

    def batch_of(self) -> tuple[Tensor, Tensor]:
        """Input (T, B, F) and labels (B,), the same at every call."""
        generator = torch.Generator().manual_seed(1)
        shape = self.steps, self.batch, self.features
        if self.events is None:
            x = torch.randn(shape, generator=generator)
        else:
            x = (torch.rand(shape, generator=generator) < self.events).float()
        return x, torch.randint(self.classes, (self.batch,), generator=generator)

    def small(self) -> Work:
        """The same work at a size that only shows that it runs."""
        return replace(self, steps=12, batch=min(self.batch, 3), features=5, hidden=16, classes=4)


_ONE = {"batch": 1, "features": 32, "threads": 1}
WORKS: dict[str, tuple[Work, ...]] = {
    "S": (Work("S", "140 event inputs, H = 256", 250, 64, 140, 256),),
    "H": (Work("H", "700 event inputs at 2 %, 2 x 128", 250, 64, 700, 128, layers=2, events=0.02),),
    "M": (Work("M", "1 analog input, 784 steps, H = 256", 784, 128, 1, 256, events=None),),
    "L": (Work("L", "H = 1024, 10 % connected", 250, 64, 140, 1024, connectivity=0.1),),
    "1": (Work("1", "batch 1, step by step, H = 128", 250, hidden=128, whats=("step",), **_ONE),),
    "1s": tuple(
        Work(f"1s-{h}", f"batch 1, 250 steps, H = {h}", 250, hidden=h, whats=("infer",), **_ONE)
        for h in (128, 512)
    ),
}  # fmt: skip
"""What `--works` names, and the works behind each name."""


def chosen(names: tuple[str, ...], smoke: bool = False) -> list[Work]:
    """The works of these names.

    >>> [work.name for work in chosen(("S", "1s"))]
    ['S', '1s-128', '1s-512']
    """
    unknown = [name for name in names if name not in WORKS]
    if unknown or not names:
        raise InputError(f"works are {', '.join(WORKS)}; got {', '.join(unknown) or 'none'}")
    works = [work for name in names for work in WORKS[name]]
    return [work.small() for work in works] if smoke else works
