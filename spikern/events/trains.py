"""Spike trains as index lists: the events of every step and sample, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikern._utils.choices import check_type
from spikern._utils.display import Facts, shown_by
from spikern._utils.errors import InputError
from spikern._utils.numbers import check_counts, check_whole

MILLISECONDS = {"s": 1e3, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
"""The units of time that recordings come in."""
EDGE, EDGE_OF_DOUBLES = 1e-3, 1e-6
"""Share of a step by which a rounded time may lie before it and still belong to it: as in Brian 2,
and of times in double precision."""
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
"""The types of indices."""
MOST_ROWS = 2**27
"""Steps times samples, beyond which a batch of recordings is refused: it takes 8 bytes each."""


def _of_events(events: Events) -> Facts:
    return {
        "steps": events.steps,
        "samples": events.batch,
        "features": events.features,
        "events": f"{len(events.values):,}, {events.rate:.2%} of the entries",
    }


@shown_by(_of_events)
@dataclass(frozen=True, eq=False)
class Events:
    """The nonzero entries of a tensor x (T, B, F), row by row.

        row r = t B + b   has the events  offsets[r] to offsets[r + 1] - 1
        event n of it     is              x[t, b, indices[n]] = values[n]

    offsets  (T B + 1,) int64, from 0 to the number of events N
    indices  (N,) int32, features in 0..F-1, ascending within a row
    values   (N,) float32, finite and not 0: 1 and -1 for signed events, counts after binning

    The length is T, as of the tensor. Raises InputError if any of this does not hold.

    >>> x = torch.zeros(3, 1, 4)
    >>> x[0, 0, 2] = x[2, 0, 0] = 1.0
    >>> x[2, 0, 3] = -1.0
    >>> events = Events.from_dense(x)
    >>> events.offsets.tolist(), events.indices.tolist(), events.values.tolist()
    ([0, 1, 1, 3], [2, 0, 3], [1.0, 1.0, -1.0])
    >>> torch.equal(events.to_dense(), x)
    True
    """

    steps: int
    batch: int
    features: int
    offsets: Tensor
    indices: Tensor
    values: Tensor

    def __post_init__(self) -> None:
        _check_layout(self)
        _check_rows(self.offsets, self.indices, self.values, self.features)

    @classmethod
    def from_dense(cls, x: Tensor) -> Events:
        """The events of x (T, B, F), of any real dtype."""
        check_type("x", x, Tensor)
        if x.ndim != 3 or x.numel() == 0 or x.is_complex():
            raise InputError(f"expected non-empty x (T, B, F), got {tuple(x.shape)} {x.dtype}")
        steps, batch, features = x.shape
        t, b, f = x.nonzero(as_tuple=True)
        offsets = _row_offsets(t * batch + b, steps * batch)
        return cls(steps, batch, features, offsets, f.int(), x[t, b, f].float())

    @classmethod
    def from_addresses(
        cls,
        times: Sequence[Any],
        features: Sequence[Any],
        size: int,
        dt: float,
        unit: str = "ms",
        steps: int | None = None,
        values: Sequence[Any] | None = None,
    ) -> Events:
        """A batch of recordings, each a list of times and a list of the features that fired then.

            t = floor(time / dt + edge),  times in `unit` (s, ms, us, ns) and dt in ms

        A time of a whole number of steps is thus in its step, however it was rounded: the edge is
        EDGE, that of numbers in double precision EDGE_OF_DOUBLES, and 0 where times and step are
        whole numbers of the unit. A time before the end is within it. Times need no order. Values
        (1 by default) add up where several events of a feature fall into one step; `signs` makes
        one event of them. `size` is F; T is `steps`, or as many as the latest event needs. Raises
        InputError on lists of different lengths, on NaN, on times below 0 or not before the end, on
        features out of range, and on more than MOST_ROWS steps and samples.

        >>> times, features = [[0.5, 2.25, 2.75], [1.5]], [[3, 0, 0], [2]]
        >>> events = Events.from_addresses(times, features, size=4, dt=1.0)
        >>> events.shape, events.values.tolist()
        ((3, 2, 4), [1.0, 1.0, 2.0])
        """
        if unit not in MILLISECONDS:
            raise InputError(f"no unit of time '{unit}'; there are: {', '.join(MILLISECONDS)}")
        if not (dt > 0 and math.isfinite(dt)):
            raise InputError(f"dt must be above 0 ms and finite, got {dt}")
        check_whole(size=size)
        if steps is not None:
            check_counts(steps=steps)
        if not 1 <= size < 2**31:
            raise InputError(f"size must lie in 1..2^31 - 1, got {size}")
        if not len(times) == len(features) == len(times if values is None else values) > 0:
            raise InputError(
                f"expected as many lists of times as of features and values, at least one, got "
                f"{len(times)}, {len(features)} and {'none' if values is None else len(values)}"
            )
        recordings, spans = [], []
        for n in range(len(times)):
            t = _flat_numbers(f"times of recording {n}", times[n])
            f = _addresses(f"features of recording {n}", features[n], size)
            v = (
                torch.ones(len(t))
                if values is None
                else _flat_numbers(f"values of recording {n}", values[n])
            )
            if not len(t) == len(f) == len(v):
                raise InputError(
                    f"recording {n}: expected lists of one length, got {len(t)} times, "
                    f"{len(f)} features, {len(v)} values"
                )
            bins = _bins(t, dt / MILLISECONDS[unit], steps)
            end = math.inf if steps is None else steps
            _check_range(f"times of recording {n}, in steps of {dt:g} ms,", bins, end)
            if len(t) and (least := float(t.double().min())) < 0:  # by less than the edge
                raise InputError(f"times of recording {n} lie below 0, such as {least:g}")
            span = steps or (int(bins.max()) + 1 if len(bins) else 1)
            if span * len(times) > MOST_ROWS:
                raise InputError(
                    f"{len(times)} recordings of {span} steps of {dt:g} ms exceed {MOST_ROWS} "
                    f"rows; give times from the start of each recording, a longer dt, or fewer "
                    f"recordings"
                )
            recordings.append(_merge_repeats(bins * size + f, v.float()))
            spans.append(span)
        steps = max(spans)
        return cls(steps, len(times), size, *_batch_rows(recordings, steps, size))

    @classmethod
    def from_structured(
        cls,
        recordings: Sequence[Any],
        sensor_size: tuple[int, int, int],
        dt: float,
        unit: str = "us",
        steps: int | None = None,
    ) -> Events:
        """A batch of structured arrays with the fields t, x, y and p, as in tonic.

            feature = (p height + y) width + x,  sensor_size (width, height, polarities)

        y is not read where the height is 1, nor p where there is one polarity. Otherwise as
        `from_addresses`.

        >>> import numpy as np
        >>> array = np.array([(1500, 3, 1)], dtype=[("t", int), ("x", int), ("p", int)])
        >>> Events.from_structured([array], (4, 1, 2), dt=1.0).indices
        tensor([7], dtype=torch.int32)
        """
        if getattr(recordings, "dtype", None) is not None:
            raise InputError("expected a list of structured arrays, got one array; give [array]")
        width, height, polarities = sensor_size
        bounds = {"x": width, "y": height, "p": polarities}
        times, features = [], []
        for n, array in enumerate(recordings):
            names = getattr(getattr(array, "dtype", None), "names", None) or ()
            needed = ["t", "x", *(name for name in ("y", "p") if bounds[name] > 1)]
            if not set(needed) <= set(names):
                raise InputError(
                    f"recording {n}: expected the fields {', '.join(needed)}, "
                    f"got {', '.join(names) or type(array).__name__}"
                )
            feature = torch.zeros(len(array), dtype=torch.int64)
            for name in reversed(needed[1:]):
                value = _addresses(f"{name} of recording {n}", array[name], bounds[name])
                feature = feature * bounds[name] + value
            times.append(array["t"])
            features.append(feature)
        return cls.from_addresses(times, features, math.prod(sensor_size), dt, unit, steps)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, B, F)."""
        return self.steps, self.batch, self.features

    @property
    def rate(self) -> float:
        """Events per feature and step."""
        return len(self.indices) / math.prod(self.shape)

    @property
    def rows(self) -> Tensor:
        """The row t B + b of every event, (N,) int64."""
        return torch.repeat_interleave(self.offsets.diff(), output_size=len(self.indices))

    @property
    def lengths(self) -> Tensor:
        """(B,) int64, the steps of each sample up to its last event, at least 1.

        >>> Events.from_dense(torch.tensor([[[0.0], [1.0]], [[0.0], [1.0]]])).lengths
        tensor([1, 2])
        """
        fired = self.offsets.diff().view(self.steps, self.batch) > 0
        after = torch.arange(1, self.steps + 1, device=fired.device)[:, None]
        return (fired * after).amax(0).clamp(min=1)

    def __len__(self) -> int:
        return self.steps

    def to_dense(self) -> Tensor:
        """x (T, B, F) float32."""
        x = self.values.new_zeros(self.steps * self.batch * self.features)
        x[self.rows * self.features + self.indices] = self.values
        return x.view(self.shape)

    def to(self, device: str | torch.device) -> Events:
        """The same events on a device."""
        arrays = (self.offsets, self.indices, self.values)
        offsets, indices, values = (a.to(device) for a in arrays)
        return replace(self, offsets=offsets, indices=indices, values=values)

    def select(self, samples: Tensor | Sequence[int]) -> Events:
        """The chosen samples in their order, with all their steps.

        >>> Events.from_dense(torch.eye(3).unsqueeze(2)).select([2, 0]).to_dense()[:, :, 0].T
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
        """
        chosen = torch.as_tensor(samples)
        if chosen.ndim != 1 or len(chosen) == 0 or chosen.dtype not in INTEGERS:
            raise InputError(f"expected at least one index as a whole number, got {samples}")
        chosen = chosen.long()
        _check_range("indices of samples", chosen, self.batch)
        first = torch.arange(self.steps, device=self.offsets.device)[:, None] * self.batch
        rows = (first + chosen.to(first.device)).flatten()
        counts = self.offsets[rows + 1] - self.offsets[rows]
        offsets = _running_sums(counts)
        moved = torch.repeat_interleave(self.offsets[rows] - offsets[:-1], counts)
        taken = moved + torch.arange(len(moved), device=moved.device)
        return replace(
            self,
            batch=len(chosen),
            offsets=offsets,
            indices=self.indices[taken],
            values=self.values[taken],
        )

    def until(self, steps: int) -> Events:
        """The first `steps` steps of every sample."""
        check_whole(steps=steps)
        if not 1 <= steps <= self.steps:
            raise InputError(f"steps must lie in 1..{self.steps}, got {steps}")
        offsets = self.offsets[: steps * self.batch + 1]
        end = int(offsets[-1])
        return replace(
            self, steps=steps, offsets=offsets, indices=self.indices[:end], values=self.values[:end]
        )

    def binned(self, k: int) -> Events:
        """k steps become one; values add up, and a sum of 0 makes none. The last bin may be short.

            y_t = x_{kt} + ... + x_{kt + k - 1}

        >>> Events.from_dense(torch.ones(5, 1, 1)).binned(2).values
        tensor([2., 2., 1.])
        """
        check_counts(k=k)
        steps = -(-self.steps // k)
        t, b = self.rows // self.batch, self.rows % self.batch
        row = t // k * self.batch + b
        keys, values = _merge_repeats(row * self.features + self.indices, self.values)
        offsets = _row_offsets(keys // self.features, steps * self.batch)
        indices = (keys % self.features).int()
        return replace(self, steps=steps, offsets=offsets, indices=indices, values=values)

    def signs(self) -> Events:
        """The signs of the values, which are then 1 or -1.

        >>> Events.from_dense(torch.ones(5, 1, 1)).binned(2).signs().values
        tensor([1., 1., 1.])
        """
        return replace(self, values=self.values.sign())


def _batch_rows(
    recordings: Sequence[tuple[Tensor, Tensor]], steps: int, size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets, indices and values of a batch of recordings: ascending keys t F + feature, values.

    Each recording is put into its place alone, so that a large batch is not sorted as a whole.
    """
    counts = torch.zeros(steps, len(recordings), dtype=torch.int64)
    for n, (keys, _) in enumerate(recordings):
        counts[:, n] = torch.bincount(keys // size, minlength=steps)
    offsets = _running_sums(counts.flatten())
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


def _merge_repeats(keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Ascending keys without repeats, with the sum of their values where it is not 0.

    >>> _merge_repeats(torch.tensor([5, 3, 5, 4, 4]), torch.tensor([1.0, 1.0, 1.0, 1.0, -1.0]))
    (tensor([3, 5]), tensor([1., 2.]))
    """
    unique, where = torch.unique(keys, return_inverse=True)
    total = values.new_zeros(len(unique)).index_add(0, where, values)
    kept = total != 0
    return unique[kept], total[kept]


def _row_offsets(rows: Tensor, count: int) -> Tensor:
    """Where each of `count` rows starts among events sorted by row, and the end of the last."""
    return _running_sums(torch.bincount(rows, minlength=count))


def _running_sums(counts: Tensor) -> Tensor:
    """0 and the running sums of `counts`."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _flat_numbers(what: str, values: Any) -> Tensor:
    """A flat tensor of real numbers that are not NaN."""
    try:
        # numpy keeps the precision of a list and reads any byte order; torch does neither.
        if not isinstance(values, Tensor):
            array = np.asarray(values)
            values = array.astype(array.dtype.newbyteorder("="))
        flat = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{what}: expected a list of numbers: {error}") from error
    if flat.ndim != 1 or flat.is_complex():
        raise InputError(f"{what}: expected one dimension, got {tuple(flat.shape)} {flat.dtype}")
    if flat.is_floating_point() and not bool(torch.isfinite(flat).all()):
        raise InputError(f"{what}: NaN or infinite values; clean the recording first")
    return flat


def _bins(times: Tensor, dt: float, steps: int | None) -> Tensor:
    """The steps (N,) of times, with dt in the same unit; a time before the end is within it.

    >>> _bins(torch.tensor([999, 1000, 1999]), 1000.0, 2).tolist()
    [0, 1, 1]
    """
    if not times.is_floating_point() and math.isclose(dt, round(dt), rel_tol=1e-12) and dt < 2**53:
        return times.long().div(round(dt), rounding_mode="floor")
    rounded = times.is_floating_point() and times.dtype != torch.float64
    exact = times.double()
    bins = (exact / dt + (EDGE if rounded else EDGE_OF_DOUBLES)).floor()
    if steps is not None:
        bins = torch.where((exact < steps * dt) & (bins == steps), steps - 1.0, bins)
    return bins.clamp(-(2.0**62), 2.0**62).long()  # what int64 can hold


def _addresses(what: str, values: Any, end: int) -> Tensor:
    """A flat int64 tensor of whole numbers in 0..end-1.

    >>> _addresses("features", [0, 3], 3)
    Traceback (most recent call last):
    spikern.InputError: features must lie in 0..2, got 0..3
    """
    flat = _flat_numbers(what, values)
    if flat.is_floating_point() and not torch.equal(flat, flat.floor()):
        raise InputError(f"{what}: expected whole numbers, got {flat.dtype} with fractions")
    _check_range(what, flat.long(), end)
    return flat.long()


def _check_range(what: str, values: Tensor, end: float) -> None:
    """Raise InputError unless the values lie in 0..end-1."""
    if len(values) == 0:
        return
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= end:
        raise InputError(f"{what} must lie in 0..{end - 1}, got {low}..{high}")


def _check_layout(events: Events) -> None:
    """Raise InputError on wrong sizes, shapes, dtypes or devices of the three tensors."""
    if min(events.shape) < 1:
        raise InputError(f"expected at least one step, sample and feature, got {events.shape}")
    count = len(events.indices) if events.indices.ndim else 0
    for name, shape, dtype in (
        ("offsets", (events.steps * events.batch + 1,), torch.int64),
        ("indices", (count,), torch.int32),
        ("values", (count,), torch.float32),
    ):
        tensor = getattr(events, name)
        if tuple(tensor.shape) != shape or tensor.dtype != dtype:
            raise InputError(
                f"expected {name} as {shape} {dtype}, got {tuple(tensor.shape)} {tensor.dtype}"
            )
        if tensor.device != events.offsets.device:
            raise InputError(
                f"expected {name} on {events.offsets.device} like offsets, got {tensor.device}"
            )


def _check_rows(offsets: Tensor, indices: Tensor, values: Tensor, features: int) -> None:
    """Raise InputError unless offsets lead from 0 to N, features ascend and values are not 0."""
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
        wrong = values[(values == 0) | ~torch.isfinite(values)][0].item()
        raise InputError(f"values must be finite and not 0, got {wrong:g}; an event of 0 is none")


Input = Tensor | Events
"""(T, B, F): a tensor, or the events of one."""


def dense(x: Input) -> Tensor:
    """An input as a tensor (T, B, F)."""
    return x.to_dense() if isinstance(x, Events) else x


def valid_steps(lengths: Tensor, steps: int) -> Tensor:
    """Return which of `steps` steps belong to each sample: (T, B) bool, for lengths (B,).

    >>> valid_steps(torch.tensor([1, 3]), 3).tolist()
    [[True, True], [False, True], [False, True]]
    """
    return torch.arange(steps, device=lengths.device)[:, None] < lengths
