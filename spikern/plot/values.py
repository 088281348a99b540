"""What comes into a figure: finite arrays of the shape that it draws, or an error that says so."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from spikern.types import InputError


def array(what: str, values: ArrayLike | Tensor, shape: str) -> NDArray[Any]:
    """The values as a finite, non-empty numpy array with as many axes as `shape` has letters.

    >>> array("spikes", np.zeros((3, 1, 2)), "(T, H)")
    Traceback (most recent call last):
    spikern.types.InputError: expected spikes as (T, H), got shape (3, 1, 2); \
choose one sample first, as in x[:, 0]
    """
    found = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    axes = shape.count(",") + 1 - shape.count(",)")
    if found.ndim != axes:
        hint = {(3, 2): "; choose one sample first, as in x[:, 0]",
                (2, 1): "; choose one neuron first, as in x[:, 0]",
                (3, 1): "; choose one sample and neuron first, as in x[:, 0, 0]"}  # fmt: skip
        raise InputError(
            f"expected {what} as {shape}, got shape {found.shape}{hint.get((found.ndim, axes), '')}"
        )
    if found.size == 0:
        raise InputError(f"there is nothing to draw: {what} has shape {found.shape}")
    if found.dtype.kind not in "biuf":
        raise InputError(f"expected numbers for {what}, got {found.dtype}")
    if not np.isfinite(found).all():
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(found))[0])
        raise InputError(
            f"{what} holds NaN or infinite values, the first at {where}; cut or replace them first"
        )
    return found


def valid_steps(steps: int, length: int | None) -> int:
    """How many of the steps the sample has: all, or its length."""
    if length is None:
        return steps
    if not 1 <= length <= steps:
        raise InputError(f"length must lie in 1..{steps}, got {length}")
    return int(length)


def step_length(dt: float | None) -> float:
    """What one step is on the time axis: 1, or dt milliseconds."""
    if dt is not None and not 0 < dt < float("inf"):
        raise InputError(f"dt is the length of a step in ms and must be above 0, got {dt}")
    return 1.0 if dt is None else dt
