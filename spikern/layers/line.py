"""Delay lines: what is still under way when a sequence ends is part of the state."""

from __future__ import annotations

from collections import namedtuple
from functools import cache
from typing import Any

import torch
from torch import Tensor

from spikern.types import State


@cache
def with_line(kind: Any) -> Any:
    """A neuron's state with one field more: `line` (D, B, A), the last D values of A axons.

    >>> from spikern.neurons import LIF
    >>> with_line(LIF.state)._fields
    ('v', 'z', 'line')
    """
    plain = namedtuple(f"Delayed{kind.__name__}", (*kind._fields, "line"))  # type: ignore[misc]
    restored = {"__reduce__": lambda self: (_restored, (kind, tuple(self)))}
    return type(plain.__name__, (plain,), {"__slots__": ()} | restored)


def _restored(kind: Any, fields: tuple[Tensor, ...]) -> State:
    """A state as it was pickled."""
    return with_line(kind)(*fields)


def under_way(line: Tensor, x: Tensor, lengths: Tensor | None) -> Tensor:
    """The last values of x (T, B, F) up to each sample's end, as many as in line (D, B, F) before.

    >>> line, x = torch.zeros(2, 1, 1), torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    >>> under_way(line, x, torch.tensor([1])).flatten()
    tensor([0., 1.])
    """
    whole = torch.cat([line, x])
    if lengths is None:
        return whole[len(x) :]
    at = torch.arange(len(line), device=x.device).unsqueeze(1) + lengths
    return whole.gather(0, at.unsqueeze(2).expand_as(line))
