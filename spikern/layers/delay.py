"""Axons of different length: every channel arrives a fixed number of steps late."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from spikern.engines import boundary
from spikern.events import Events
from spikern.layers import layout
from spikern.layers.layout import Given
from spikern.types import InputError


class Delay(nn.Module):
    """Delay channel f by `steps[f]` whole steps: out_t[f] = x_{t - steps[f]}[f].

    `out, line = delay(x, line, lengths)` for x in any layout of a SpikingRNN. `line` (D, B, F),
    or (D, F) for x (T, F), holds the last D = max(steps) inputs, what is still under way: handed
    over, a sequence cut in two gives what the whole gives. `line=None` is silence. What arrives
    past a sample's length is lost. `steps` (F,) are fixed: a buffer, part of state_dict.

    Raises InputError on steps that are not whole numbers from 0 up, on a wrong shape, NaN or line.

    >>> delay = Delay(torch.tensor([0, 2]))
    >>> out, line = delay(torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]))
    >>> out.T.tolist()
    [[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]]
    """

    steps: Tensor

    def __init__(self, steps: Tensor, batch_first: bool = False) -> None:
        super().__init__()
        if steps.ndim != 1 or not len(steps) or steps.is_floating_point() or int(steps.min()) < 0:
            raise InputError(
                f"expected steps as whole numbers from 0 up, one a channel, got {steps.dtype} "
                f"of shape {tuple(steps.shape)}"
            )
        self.batch_first = batch_first
        self.register_buffer("steps", steps.to(torch.int64))

    def forward(
        self, x: Given, line: Tensor | None = None, lengths: Tensor | None = None
    ) -> tuple[Any, Tensor]:
        """What arrives, in the layout of x, and what is under way after each sample's last step."""
        batched, until = layout.time_first(x, lengths, self.batch_first)
        if isinstance(batched, Events):
            batched = batched.to_dense()
        steps, channels = len(batched), len(self.steps)
        boundary.check_input(batched, channels, batched.dtype)
        batch = batched.shape[1]
        if until is not None:
            boundary.check_lengths(until, steps, batch)
        longest = int(self.steps.max())
        single = layout.is_single(x)
        shape = (longest, channels) if single else (longest, batch, channels)
        if line is None:
            line = batched.new_zeros(shape)
        if tuple(line.shape) != shape:
            raise InputError(f"expected a line of shape {shape}, got {tuple(line.shape)}")
        whole = torch.cat([line.unsqueeze(1) if single else line, batched])
        at = longest + torch.arange(steps, device=whole.device).unsqueeze(1) - self.steps
        out = whole.gather(0, at.unsqueeze(1).expand(steps, batch, channels))
        if until is None:
            rest = whole[steps:]
        else:
            running = torch.arange(steps, device=whole.device).unsqueeze(1) < until
            out = torch.where(running.unsqueeze(2), out, torch.zeros_like(out))
            last = torch.arange(longest, device=whole.device).unsqueeze(1) + until
            rest = whole.gather(0, last.unsqueeze(2).expand(longest, batch, channels))
        return layout.as_given(out, x, self.batch_first), rest.squeeze(1) if single else rest

    def extra_repr(self) -> str:
        """How many channels, and how late they arrive."""
        return f"{len(self.steps)}, steps={int(self.steps.min())}..{int(self.steps.max())}"
