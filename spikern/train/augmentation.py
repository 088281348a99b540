"""Augmentation: random changes of a training batch that leave its labels true.

Each function is pure; what is random is passed in as a generator.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spikern._utils.errors import InputError


def add_noise(x: Tensor, valid: Tensor, level: float, generator: torch.Generator) -> Tensor:
    """x + level n on the valid steps (T, B) of x (T, B, F), n ~ N(0, 1)."""
    noise = torch.randn(x.shape, generator=generator).to(x)
    return x + level * noise * valid.unsqueeze(2)


def shift_channels(x: Tensor, largest: int, generator: torch.Generator) -> Tensor:
    """Move the features of every sample of x (T, B, F) by -largest..largest places; zeros fill in.

    >>> x = torch.tensor([1.0, 2.0, 3.0]).expand(1, 40, 3)
    >>> shifted = shift_channels(x, 1, torch.Generator().manual_seed(0))
    >>> sorted({tuple(row) for row in shifted[0].tolist()})
    [(0.0, 1.0, 2.0), (1.0, 2.0, 3.0), (2.0, 3.0, 0.0)]
    """
    _, batch, features = x.shape
    moves = torch.randint(-largest, largest + 1, (batch, 1), generator=generator).to(x.device)
    source = torch.arange(features, device=x.device) - moves
    inside = (source >= 0) & (source < features)
    gathered = x.gather(2, source.clamp(0, features - 1).expand(len(x), batch, features))
    return gathered * inside


def stretch_time(
    x: Tensor, lengths: Tensor, largest: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Play every sample of x (T, B, F) slower or faster by a share of up to `largest`; new lengths.

    A sample of L steps gets round(L f) of them, f uniform in 1 - largest..1 + largest, linearly
    interpolated, and at most T. Raises InputError for a share that is not below 1.

    >>> x, lengths = torch.arange(8.0).view(8, 1, 1), torch.tensor([4])
    >>> stretched, longer = stretch_time(x, lengths, 0.5, torch.Generator().manual_seed(0))
    >>> longer.item(), stretched.flatten().tolist()[:longer.item()]
    (4, [0.0, 1.0, 2.0, 3.0])
    """
    if not 0 <= largest < 1:
        raise InputError(f"a time stretch must be at least 0 and below 1, got {largest}")
    drawn = torch.rand(len(lengths), generator=generator).to(x.device)
    factors = 1 + largest * (2 * drawn - 1)
    new = (lengths * factors).round().long().clamp(min=1, max=len(x))
    steps = torch.arange(len(x), device=x.device).unsqueeze(1)
    place = steps * ((lengths - 1) / (new - 1).clamp(min=1))
    before = place.floor().long().clamp(max=len(x) - 1)
    after = torch.minimum(before + 1, lengths - 1)
    share = (place - before).unsqueeze(2)
    first, second = (x.gather(0, k.unsqueeze(2).expand_as(x)) for k in (before, after))
    stretched = first + share * (second - first)
    return (stretched * (steps < new).unsqueeze(2)).to(x.dtype), new
