"""What the fused engine's kernels read and write: tensors by name, arrays, signatures, blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from spikern._utils.errors import InputError
from spikern.engines.codegen import cache, kernels
from spikern.engines.threads import equal_parts, in_threads

BLOCKS = 16
"""Largest number of blocks of samples, each with its own sums of gradients."""
SAMPLES = 8
"""Samples per block, if there are as many: a call of a kernel costs as much as a sample."""
SUMS_BYTES = 20_000_000
"""Fewer blocks if their sums would take more than this, but two, so that two threads have work."""
DENSE_INPUT = 0.3
"""An input with a greater share of nonzero entries is multiplied as a matrix."""
NARROW = 16
"""Unless it has no more features than this: then a matrix product gains nothing."""
EVERY = 16
"""Steps between the states that are kept for the backward pass."""

LANES = 16
"""Numbers in a vector; rows of weights are padded to whole ones."""
FEW = 64
"""A population above of no more neurons hands its gradient down by rows, a wider by products."""

_F1, _F2, _F3, _F4 = "float32[::1]", "float32[:,::1]", "float32[:,:,::1]", "float32[:,:,:,::1]"
_I1, _L1, _L2 = "int32[::1]", "int64[::1]", "int64[:,::1]"
_COMMON = (
    f"int64, {_L1}, int64, int64, {_L1}, {_L1}, {_I1}, {_F1}, {_F3}, {_L2}, "
    f"{_F2}, {_F2}, {_L1}, uint32[::1], {_F1}, {_F1}, {_F2}, {_F2}, {_F3}, {_F2}, {_L1}, "
    f"{_F2}, {_F3}"
)
SIGNATURES = {
    "constants": f"void({_F2}, {_F2})",
    "forward": f"void({_COMMON}, {_F3}, {_F3}, {_L2}, {_F4}, {_F2})",
    "backward": (
        f"void({_COMMON}, {_F3}, {_F3}, {_F1}, {_F3}, {_F2}, {_F2}, {_L2}, {_F4}, "
        f"{_F3}, {_F3}, {_F3}, {_F2}, {_F2}, {_F3}, {_F3}, {_F3}, {_F2}, {_F3})"
    ),
    "count_events": f"void({_F2}, int64, int64, {_L2}, {_L1})",
    "list_events": f"void({_F2}, int64, int64, {_L2}, {_L1}, {_I1}, {_F1})",
}


class PopulationTensors(NamedTuple):
    """One population in the operator's list of tensors.

    w_in (H, F), bias (H,), w_rec (H, H) or (0, H), params (P, H), start (S, B, H). Where the
    recurrence is sparse, the synapses of neuron j lead to target[begin[j]] to
    target[begin[j + 1] - 1]; else both are empty. gain (T, B, E) is that of groups, (0, 0, 1)
    where there are none. Where spikes take several steps, delays (H,) says how many, or shares
    (D, H) how they are spread, and before (D, B, H) are those under way; else these are empty.
    """

    w_in: Tensor
    bias: Tensor
    w_rec: Tensor
    params: Tensor
    start: Tensor
    begin: Tensor
    target: Tensor
    gain: Tensor
    delays: Tensor
    shares: Tensor
    before: Tensor


class PopulationGradients(NamedTuple):
    """The gradients of one population's tensors; `begin`, `target` and `delays` have none."""

    w_in: Tensor
    bias: Tensor
    w_rec: Tensor
    params: Tensor
    shares: Tensor
    start: Tensor
    gain: Tensor
    before: Tensor


class Outputs(NamedTuple):
    """What the operator computes; all but `out` has an entry per population.

    out          (T, B, H) of the last population
    finals       (S, B, H) the state after each sample's last step
    totals       (H,) the spikes of each neuron, over samples and steps
    buffers      (D, B, H) the last D outputs; (0, B, H) unless spikes take several steps
    bits         (T B, words) the spikes, one bit per neuron
    checkpoints  (T / EVERY, S, B, H) the state every EVERY steps
    """

    out: Any
    finals: Sequence[Any]
    totals: Sequence[Any]
    buffers: Sequence[Any]
    bits: Sequence[Any]
    checkpoints: Sequence[Any]


class Arrays(NamedTuple):
    """What a kernel reads of one population, in the order of its arguments."""

    offsets: Any
    indices: Any
    values: Any
    current: Any
    below: Any
    w_in: Any
    w_rec: Any
    begin: Any
    target: Any
    synapses: Any
    bias: Any
    P: Any
    C: Any
    start: Any
    gains: Any
    delays: Any
    shares: Any
    before: Any


def by_population(tensors: Sequence[Tensor]) -> list[PopulationTensors]:
    """The operator's list of tensors by population and name."""
    size = len(PopulationTensors._fields)
    return [PopulationTensors(*tensors[k : k + size]) for k in range(0, len(tensors), size)]


def allocate_outputs(
    make: Callable[..., Tensor], steps: int, batch: int, tensors: Sequence[Tensor]
) -> Outputs:
    """Buffers for everything that the operator computes."""
    populations = by_population(tensors)
    sizes = [(p.start.shape[0], p.start.shape[2]) for p in populations]
    checkpoints = (steps + EVERY - 1) // EVERY
    return Outputs(
        make(steps, batch, sizes[-1][1]),
        [make(fields, batch, hidden) for fields, hidden in sizes],
        [make(hidden) for _, hidden in sizes],
        [make(p.before.shape[0], batch, hidden) for p, (_, hidden) in zip(populations, sizes)],
        [make(steps * batch, (hidden + 63) // 64, dtype=torch.int64) for _, hidden in sizes],
        [make(checkpoints, fields, batch, hidden) for fields, hidden in sizes],
    )


def as_list(outputs: Outputs) -> list[Any]:
    """The outputs as the flat list that an operator of torch returns."""
    out, *per_population = outputs
    return [out, *(tensor for tensors in per_population for tensor in tensors)]


def as_outputs(tensors: Sequence[Any]) -> Outputs:
    """The outputs from their flat list."""
    count = (len(tensors) - 1) // (len(Outputs._fields) - 1)
    return Outputs(tensors[0], *(tensors[k : k + count] for k in range(1, len(tensors), count)))


def kernel_entry(name: str, entry: str) -> Any:
    """A compiled kernel of a loaded module."""
    title = f"{cache.module(name).TITLE} ({entry})" if entry in ("forward", "backward") else ""
    return cache.function(name, entry, SIGNATURES[entry], title)


def allocate(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """A buffer that a kernel fills, on the CPU; its content before that is arbitrary."""
    return torch.empty(shape, dtype=dtype, device="cpu")


def rows_by_source(weight: Tensor, experts: int = 1) -> Tensor:
    """Weights (to, from) as one row for each source, padded with zeros to whole vectors.

    With groups of targets, first the rows of the first group, then those of the next.
    """
    to, sources = weight.shape
    members = to // experts
    rows = weight.new_zeros((experts, sources, -(-members // LANES) * LANES))
    rows[..., :members] = weight.detach().view(experts, members, sources).mT
    return rows.flatten(0, 1)


def from_rows(rows: Tensor, to: int, experts: int = 1) -> Tensor:
    """The inverse of `rows_by_source`: weights (to, from).

    >>> weight = torch.randn(6, 4)
    >>> all(torch.equal(from_rows(rows_by_source(weight, n), 6, n), weight) for n in (1, 3))
    True
    """
    members = rows.view(experts, len(rows) // experts, rows.shape[1])[..., : to // experts]
    return members.mT.flatten(0, 1).contiguous()


def array(x: Tensor) -> Any:
    """The contiguous numpy array of a tensor."""
    return x.detach().resolve_neg().contiguous().numpy()


def block_edges(
    batch: int, weights: int, samples: int = SAMPLES
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Where each block of samples begins; depends on sizes alone, never on threads."""
    affordable = max(2, SUMS_BYTES // (4 * max(weights, 1)))
    return equal_parts(batch, min(-(-batch // samples), BLOCKS, affordable))


def edges_of(a: Arrays, batch: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The blocks of a population; a sparse synapse is read once for a vector of samples."""
    return block_edges(batch, a.w_rec.size + a.w_in.size, LANES if a.synapses.size else SAMPLES)


class Last(NamedTuple):
    """Where the last D outputs of B samples are, each entry (D, B).

    early    whether they are before the first step
    at       the step; if early, the row of the D outputs before the first step
    samples  the sample
    """

    early: np.ndarray[Any, np.dtype[np.bool_]]
    at: np.ndarray[Any, np.dtype[np.int64]]
    samples: np.ndarray[Any, np.dtype[np.int64]]


def last_outputs(longest: int, lengths: Tensor) -> Last:
    """Where the last outputs of samples of these lengths are.

    >>> last_outputs(2, torch.tensor([1, 5])).at.tolist()
    [[1, 3], [0, 4]]
    """
    at = lengths.numpy() + np.arange(-longest, 0)[:, None]
    early = at < 0
    return Last(early, at + longest * early, np.broadcast_to(np.arange(len(lengths)), at.shape))


def sum_of_blocks(blocks: Tensor) -> Tensor:
    """The sum over blocks in their order, written over the first."""
    total = blocks[0]
    for other in blocks[1:]:
        total += other
    return total


def list_events(x: Tensor, most: float = DENSE_INPUT) -> tuple[Tensor, Tensor, Tensor] | None:
    """The events of x (T, B, F) as offsets, indices, values; None if more than a share of them."""
    cache.load(kernels.listing())
    name = cache.name_of(kernels.listing())
    rows = array(x.reshape(-1, x.shape[2]))
    edges = equal_parts(len(rows), BLOCKS)
    counts = np.zeros(len(rows) + 1, np.int64)
    bits = np.empty((len(rows), (x.shape[2] + 63) // 64), np.int64)
    count = kernel_entry(name, "count_events")
    in_threads(lambda k: count(rows, edges[k], edges[k + 1], bits, counts[1:]), BLOCKS)
    offsets = np.cumsum(counts)
    if x.shape[2] > NARROW and offsets[-1] > most * x.numel():
        return None
    indices = allocate(int(offsets[-1]), dtype=torch.int32)
    values = allocate(int(offsets[-1]))
    fill = kernel_entry(name, "list_events")
    into = bits, offsets, indices.numpy(), values.numpy()
    in_threads(lambda k: fill(rows, edges[k], edges[k + 1], *into), BLOCKS)
    return torch.from_numpy(offsets), indices, values


def most_listed(gain: Tensor | None) -> float:
    """The share of an input that may be listed: all of it for groups, since a matrix wakes all."""
    return DENSE_INPUT if gain is None or not gain.numel() else 1.0


def places_of_synapses(begin: Tensor, target: Tensor, hidden: int) -> Tensor:
    """Where the weight of each synapse is in the flattened w_rec."""
    return target.long() * hidden + torch.repeat_interleave(begin.diff())


def kernel_arrays(
    names: Sequence[str],
    x: Tensor,
    events: tuple[Tensor, Tensor, Tensor],
    tensors: Sequence[PopulationTensors],
    bits: Sequence[Tensor],
) -> list[Arrays]:
    """What the kernels of every population read."""
    none = allocate(0)
    no_events = (none.long(), none.int(), none)
    listed: tuple[Tensor, Tensor, Tensor] | None = events
    if not len(events[0]):
        listed = list_events(x, most_listed(tensors[0].gain))
    result = []
    for k, (name, p) in enumerate(zip(names, tensors)):
        hidden, experts = len(p.bias), p.gain.shape[2]
        current, below = none.view(0, 0, 0), allocate(0, 0, dtype=torch.int64)
        w_in, w_rec, of_input = p.w_in, p.w_rec, no_events
        if k > 0:
            below = bits[k - 1]
        elif listed is not None:
            of_input = listed
        else:
            current, w_in = torch.nn.functional.linear(x, p.w_in, p.bias), p.w_in[:, :0]
        synapses = none
        if len(p.begin):
            synapses = p.w_rec.reshape(-1)[places_of_synapses(p.begin, p.target, hidden)]
            w_rec = w_rec[:0]
        if len(p.delays) and not 1 <= p.delays.min() <= p.delays.max() <= len(p.before):
            raise InputError(
                f"expected recurrent delays of 1 to {len(p.before)} steps, the longest of the "
                f"layer, got {int(p.delays.min())} to {int(p.delays.max())}"
            )
        params = array(p.params)
        constants = allocate(cache.module(name).CONSTANTS, hidden).numpy()
        kernel_entry(name, "constants")(params, constants)
        offsets, indices, values = map(array, of_input)
        read = Arrays(
            offsets=offsets, indices=indices, values=values, current=array(current),
            below=array(below), w_in=array(rows_by_source(w_in, experts)),
            w_rec=array(rows_by_source(w_rec, experts) if w_rec.numel() else w_rec),
            begin=array(p.begin),
            target=array(p.target).view(np.uint32), synapses=array(synapses), bias=array(p.bias),
            P=params, C=constants, start=array(p.start),
            gains=array(p.gain.flatten(0, 1)), delays=array(p.delays), shares=array(p.shares),
            before=array(p.before),
        )  # fmt: skip
        result.append(read)
    return result
