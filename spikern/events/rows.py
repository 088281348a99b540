"""Rows of events: index lists merged, joined and checked, as plain functions of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from spikern.types import InputError


def side_by_side(
    recordings: Sequence[tuple[Tensor, Tensor]], steps: int, size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets, indices and values of a batch of recordings: ascending keys t F + feature, values.

    Each is put into place by itself, so that a large batch needs no sort as a whole.
    """
    counts = torch.zeros(steps, len(recordings), dtype=torch.int64)
    for n, (keys, _) in enumerate(recordings):
        counts[:, n] = torch.bincount(keys // size, minlength=steps)
    offsets = running(counts.flatten())
    starts = offsets[:-1].view_as(counts)
    indices = torch.empty(int(offsets[-1]), dtype=torch.int32)
    values = torch.empty(len(indices))
    for n, (keys, value) in enumerate(recordings):
        t = keys // size
        before = counts[:, n].cumsum(0) - counts[:, n]
        place = (starts[:, n] - before)[t] + torch.arange(len(keys))
        indices[place] = (keys - t * size).int()
        values[place] = value
    return offsets, indices, values


def merged(keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Ascending keys without repeats, with the sum of their values where it is not 0.

    >>> merged(torch.tensor([5, 3, 5, 4, 4]), torch.tensor([1.0, 1.0, 1.0, 1.0, -1.0]))
    (tensor([3, 5]), tensor([1., 2.]))
    """
    unique, where = torch.unique(keys, return_inverse=True)
    total = values.new_zeros(len(unique)).index_add(0, where, values)
    kept = total != 0
    return unique[kept], total[kept]


def row_offsets(rows: Tensor, count: int) -> Tensor:
    """Where each of `count` rows starts among events sorted by row, and the end of the last."""
    return running(torch.bincount(rows, minlength=count))


def running(counts: Tensor) -> Tensor:
    """0 and the running sums of `counts`."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def one_list(what: str, values: Any) -> Tensor:
    """A flat tensor of real numbers that are not NaN."""
    try:
        flat = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{what}: expected a list of numbers: {error}") from error
    if flat.ndim != 1 or flat.is_complex():
        raise InputError(f"{what}: expected one dimension, got {tuple(flat.shape)} {flat.dtype}")
    if flat.is_floating_point() and not bool(torch.isfinite(flat).all()):
        raise InputError(f"{what}: NaN or infinite values; clean the recording first")
    return flat


def addresses(what: str, values: Any, end: int) -> Tensor:
    """A flat int64 tensor of whole numbers in 0..end-1.

    >>> addresses("features", [0, 3], 3)
    Traceback (most recent call last):
    spikern.types.InputError: features must lie in 0..2, got 0..3
    """
    flat = one_list(what, values)
    if flat.is_floating_point() and not torch.equal(flat, flat.floor()):
        raise InputError(f"{what}: expected whole numbers, got {flat.dtype} with fractions")
    check_range(what, flat.long(), end)
    return flat.long()


def check_range(what: str, values: Tensor, end: float) -> None:
    """Values in 0..end-1."""
    if len(values) == 0:
        return
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= end:
        raise InputError(f"{what} must lie in 0..{end - 1}, got {low}..{high}")


def check_rows(offsets: Tensor, indices: Tensor, values: Tensor, features: int) -> None:
    """Offsets from 0 to N, features ascending within a row, values finite and not 0."""
    count = len(indices)
    first, last = int(offsets[0]), int(offsets[-1])
    if first != 0 or last != count or bool((offsets.diff() < 0).any()):
        raise InputError(
            f"offsets must not fall and lead from 0 to the {count} events, got {first} to {last}"
        )
    if count == 0:
        return
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= features:
        raise InputError(f"indices must lie in 0..{features - 1}, got {low}..{high}")
    ascending = torch.ones(count + 1, dtype=torch.bool, device=indices.device)
    ascending[1:-1] = indices[1:] > indices[:-1]
    ascending[offsets] = True
    if not bool(ascending.all()):
        place = int(ascending.logical_not().nonzero()[0])
        raise InputError(
            f"indices must ascend within a row; event {place} has {int(indices[place])} "
            f"after {int(indices[place - 1])}"
        )
    if not bool(torch.isfinite(values).all()) or not bool(values.all()):
        raise InputError("values must be finite and not 0; an event of 0 is none")
