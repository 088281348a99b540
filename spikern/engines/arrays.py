"""Checks at the edge: what comes in is right, or an error says what was expected.

Everything below this file trusts its arguments.

What the kernels of a stack read: their signatures, and the arrays of every population.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from spikern.engines.codegen import cache
from spikern.engines.codegen.runtime import HEAD, LISTING
from spikern.engines.threads import in_threads


def allocate(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """A buffer that a kernel fills; what is in it before is anything."""
    return torch.empty(shape, dtype=dtype)


BLOCKS = 16
"""At most so many blocks of samples, each with its own sums of gradients."""
SAMPLES = 8
"""A block has so many samples, if there are: to call a kernel costs as much as a sample."""
SUMS_BYTES = 20_000_000
"""Fewer blocks if their sums would take more than this, but two, so that two threads have work."""
DENSE_INPUT = 0.3
"""An input with a greater share of nonzero entries is multiplied as a matrix."""
NARROW = 16
"""Unless it has no more features than this: then a matrix product gains nothing."""
FIELDS = 7
"""Tensors of one population in the operator's list: w_in, bias, w_rec, params, start, at, to."""
_F1, _F2, _F3, _F4 = "float32[::1]", "float32[:,::1]", "float32[:,:,::1]", "float32[:,:,:,::1]"
_I1, _L1, _L2 = "int32[::1]", "int64[::1]", "int64[:,::1]"
_COMMON = (
    f"int64, {_L1}, int64, int64, {_L1}, {_L1}, {_I1}, {_F1}, {_F3}, {_L2}, "
    f"{_F2}, {_F2}, {_L1}, uint32[::1], {_F1}, {_F1}, {_F2}, {_F2}, {_F3}"
)
SIGNATURES = {
    "constants": f"void({_F2}, {_F2})",
    "forward": f"void({_COMMON}, {_F3}, {_F3}, {_L2}, {_F4}, {_F2})",
    "backward": (
        f"void({_COMMON}, {_F3}, {_F3}, {_F1}, {_F3}, {_F2}, {_L2}, {_F2}, {_F4}, "
        f"{_F3}, {_F3}, {_F3}, {_F2}, {_F2}, {_F3}, {_F3})"
    ),
    "count_events": f"void({_F2}, int64, int64, {_L1})",
    "list_events": f"void({_F2}, int64, int64, {_L1}, {_I1}, {_F1})",
}


def kernel_entry(name: str, entry: str) -> Any:
    """A compiled kernel of a loaded module."""
    title = f"{cache.module(name).TITLE} ({entry})" if entry in ("forward", "backward") else ""
    return cache.function(name, entry, SIGNATURES[entry], title)


class Arrays(NamedTuple):
    """What a kernel reads of one population, in the order of its arguments."""

    offsets: Any
    indices: Any
    values: Any
    current: Any
    below: Any
    w_in: Any
    w_rec: Any
    at: Any
    to: Any
    links: Any
    bias: Any
    P: Any
    C: Any
    start: Any


def array(x: Tensor) -> Any:
    """A tensor as numpy has it, in one piece."""
    return x.detach().contiguous().numpy()


def edges_of(batch: int, weights: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Where each block of samples begins: a matter of sizes alone, never of threads."""
    affordable = max(2, SUMS_BYTES // (4 * max(weights, 1)))
    blocks = min(-(-batch // SAMPLES), BLOCKS, affordable)
    return cut(batch, blocks)


def cut(count: int, parts: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Where each of so many equal parts begins, and where the last one ends."""
    return np.array([count * k // parts for k in range(parts + 1)])


def listed(x: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """The events of x (T, B, F) as offsets, indices, values; None if it is no sparse input."""
    name = cache.name_of(HEAD + LISTING)
    rows = array(x.reshape(-1, x.shape[2]))
    edges = cut(len(rows), BLOCKS)
    counts = np.empty(len(rows), np.int64)
    count = kernel_entry(name, "count_events")
    in_threads(lambda k: count(rows, edges[k], edges[k + 1], counts), BLOCKS)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    if x.shape[2] > NARROW and offsets[-1] > DENSE_INPUT * x.numel():
        return None
    indices = allocate(int(offsets[-1]), dtype=torch.int32)
    values = allocate(int(offsets[-1]))
    fill = kernel_entry(name, "list_events")
    into = offsets, indices.numpy(), values.numpy()
    in_threads(lambda k: fill(rows, edges[k], edges[k + 1], *into), BLOCKS)
    return torch.from_numpy(offsets), indices, values


def place_of_links(at: Tensor, to: Tensor, hidden: int) -> Tensor:
    """Where each link's weight is in the flattened w_rec."""
    return to.long() * hidden + torch.repeat_interleave(at.diff())


def layout(
    names: Sequence[str],
    x: Tensor,
    events: tuple[Tensor, Tensor, Tensor],
    tensors: Sequence[Tensor],
    bits: Sequence[Tensor],
) -> list[Arrays]:
    """What the kernels of every population read."""
    none = torch.empty(0)
    lists: tuple[Tensor, Tensor, Tensor] | None = events if len(events[0]) else listed(x)
    made = []
    for k, name in enumerate(names):
        w_in, bias, w_rec, params, start, at, to = tensors[FIELDS * k : FIELDS * (k + 1)]
        hidden = len(bias)
        current, below = none.view(0, 0, 0), torch.empty((0, 0), dtype=torch.int64)
        rows = w_in.t()
        if k > 0:
            below = bits[k - 1]
        elif lists is None:
            current, rows = torch.nn.functional.linear(x, w_in, bias), rows[:0]
        links, recurrent = none, w_rec.t() if w_rec.numel() else w_rec
        if len(at):
            links, recurrent = w_rec.reshape(-1)[place_of_links(at, to, hidden)], recurrent[:0]
        P = array(params)
        C = allocate(cache.module(name).CONSTANTS, hidden).numpy()
        kernel_entry(name, "constants")(P, C)
        of_input = (none.long(), none.int(), none) if k > 0 or lists is None else lists
        read = (*of_input, current, below, rows, recurrent, at, to, links, bias)
        arrays = Arrays._make([*map(array, read), P, C, array(start)])
        made.append(arrays._replace(to=arrays.to.view(np.uint32)))
    return made
