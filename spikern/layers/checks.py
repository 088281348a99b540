"""What a layer is called with: checked at the boundary, so that all below trusts its arguments."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from spikern._utils.errors import InputError
from spikern.events.trains import Events


def check_input(x: Tensor | Events, features: int, dtype: torch.dtype) -> None:
    """A finite floating (T, B, F) tensor with at least one step and one sample, or events."""
    if not isinstance(x, (Tensor, Events)):
        raise InputError(f"expected a torch tensor or Events, got {type(x).__name__}")
    if len(x.shape) != 3 or x.shape[2] != features:
        raise InputError(f"expected input of shape (T, B, {features}), got {tuple(x.shape)}")
    if isinstance(x, Events):
        return
    if x.dtype != dtype:
        raise InputError(f"expected input of dtype {dtype} like the weights, got {x.dtype}")
    if x.shape[0] == 0 or x.shape[1] == 0:
        raise InputError(f"empty input: {x.shape[0]} steps and {x.shape[1]} samples")
    if torch.compiler.is_compiling() or math.isfinite(float(x.detach().sum())):
        return
    if not bool(torch.isfinite(x).all()):
        raise InputError("the input holds NaN or infinite values; clean or mask it first")


def check_lengths(lengths: Tensor, steps: int, batch: int) -> None:
    """Whole numbers, one a sample, between 1 and the number of steps."""
    if lengths.shape != (batch,) or lengths.is_floating_point():
        raise InputError(
            f"expected lengths as {batch} whole numbers, got {tuple(lengths.shape)} "
            f"of dtype {lengths.dtype}"
        )
    if torch.compiler.is_compiling():
        return
    low, high = int(lengths.min()), int(lengths.max())
    if low < 1 or high > steps:
        raise InputError(f"lengths must lie in 1..{steps}, got {low}..{high}")


def check_state(
    state: Any,
    kind: type[Any],
    shape: tuple[int, ...],
    dtype: torch.dtype,
    **other: tuple[int, ...],
) -> Any:
    """A state of the neuron's own type whose every field has the expected shape and dtype.

    `other` are the shapes of fields that do not have the common one. A plain tuple of as many
    tensors is taken in the order of the fields; returns the state.
    """
    names = kind._fields
    if type(state) is tuple and len(state) == len(names):
        state = kind(*state)
    if not isinstance(state, kind):
        raise InputError(
            f"expected a state of type {kind.__name__}, got {type(state).__name__}; "
            f"its fields are {', '.join(names)}"
        )
    for name in names:
        value = getattr(state, name)
        if not isinstance(value, Tensor):
            raise InputError(f"state field '{name}' must be a tensor, got {type(value).__name__}")
        expected = other.get(name, shape)
        if tuple(value.shape) != expected:
            raise InputError(
                f"state field '{name}' must have shape {expected}, got {tuple(value.shape)}"
            )
        if value.dtype != dtype:
            raise InputError(f"state field '{name}' must have dtype {dtype}, got {value.dtype}")
    return state
