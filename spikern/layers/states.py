"""The state that a layer takes and returns, and the states of its populations in it.

Populations of one kind and width have one state, each field (P, B, H) of P populations. With
delayed axons it has one more field, `delay_buffer` (D, B, A): the last D values of all A axons. A
layer of several kinds or widths has a tuple of such states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spikern._utils.errors import InputError
from spikern.layers.arguments import check_device, check_finite
from spikern.layers.delays import delayed_state
from spikern.neurons.model import State


class Form(NamedTuple):
    """What populations have in common whose states are one.

    kind     the type of a single population's state
    width    H, the neurons of each
    axons    the delayed axons of each population
    longest  D, the longest delay in steps, 0 if no axon is delayed
    """

    kind: Any
    width: int
    axons: tuple[int, ...]
    longest: int


def zero(forms: Sequence[Form], batch: int, like: Tensor) -> State:
    """Return the state before the first step."""
    parts = []
    for form in forms:
        shapes = _shapes(form, batch)
        parts.append(_type(form)(**{name: like.new_zeros(s) for name, s in shapes.items()}))
    return _joined(parts)


def split(
    forms: Sequence[Form], state: State, batch: int, like: Tensor
) -> tuple[list[State], Tensor | None]:
    """Check a state; return each population's, fields (B, H), and the buffer of all if any."""
    parts = _checked(forms, state, like, batch)
    states: list[State] = []
    for form, part in zip(forms, parts):
        states += [form.kind(*fields) for fields in zip(*part[: len(form.kind._fields)])]
    delayed = any(form.longest for form in forms)
    return states, torch.cat([part.delay_buffer for part in parts], 2) if delayed else None


def join(forms: Sequence[Form], states: Iterable[State], buffers: Iterable[Tensor]) -> State:
    """Join the states of all populations, fields (B, H), and the buffers of those that have one:
    undoes `split`."""
    parts, remaining, waiting = [], iter(states), iter(buffers)
    for form in forms:
        own = [next(remaining) for _ in form.axons]
        fields = [torch.stack(values) for values in zip(*own)]
        if form.longest:
            none = fields[0].new_zeros(form.longest, fields[0].shape[1], 0)
            fields.append(torch.cat([next(waiting) if axons else none for axons in form.axons], 2))
        parts.append(_type(form)(*fields))
    return _joined(parts)


def batch_of_one(forms: Sequence[Form], state: State, like: Tensor) -> State:
    """Check the state of one sample, fields (P, H); return that of a batch of it."""
    return _each_field(_checked(forms, state, like), lambda field: field.unsqueeze(1))


def only_sample(forms: Sequence[Form], state: State) -> State:
    """Return the state of the one sample of a batch: undoes `batch_of_one`."""
    return _each_field(state if len(forms) > 1 else [state], lambda field: field.squeeze(1))


def _type(form: Form) -> Any:
    return delayed_state(form.kind) if form.longest else form.kind


def _shapes(form: Form, *batch: int) -> dict[str, tuple[int, ...]]:
    """The shapes of a state's fields; without `batch` those of one sample."""
    shapes = dict.fromkeys(form.kind._fields, (len(form.axons), *batch, form.width))
    return shapes | (
        {"delay_buffer": (form.longest, *batch, sum(form.axons))} if form.longest else {}
    )


def _each_field(parts: Iterable[Any], change: Callable[[Tensor], Tensor]) -> State:
    return _joined(type(part)(*map(change, part)) for part in parts)


def _joined(parts: Iterable[State]) -> State:
    """The states of all forms as one: a tuple, unless there is one form."""
    states = tuple(parts)
    return states[0] if len(states) == 1 else states


def _checked(forms: Sequence[Form], state: Any, like: Tensor, *batch: int) -> list[Any]:
    """Return the states of all forms as their own types, or raise InputError."""
    parts = state if len(forms) > 1 else [state]
    found = len(parts) if isinstance(parts, (list, tuple)) else 0
    if found != len(forms):
        raise InputError(
            f"expected a tuple of the states of {len(forms)} layers, got "
            f"{type(state).__name__}{f' of {found}' if found else ''}"
        )
    return [_check(part, form, like, *batch) for part, form in zip(parts, forms)]


def _check(state: Any, form: Form, like: Tensor, *batch: int) -> Any:
    """Return a state as the type of its form; its dtype and device must be those of `like`.

    A plain tuple of as many tensors is read in the order of the fields.
    """
    kind = _type(form)
    if type(state) is tuple and len(state) == len(kind._fields):
        state = kind(*state)
    if not isinstance(state, kind):
        raise InputError(
            f"expected a state of type {kind.__name__}, got {type(state).__name__}; "
            f"its fields are {', '.join(kind._fields)}"
        )
    for name, shape in _shapes(form, *batch).items():
        value = getattr(state, name)
        if not isinstance(value, Tensor):
            raise InputError(f"state field '{name}' must be a tensor, got {type(value).__name__}")
        if tuple(value.shape) != shape:
            raise InputError(
                f"state field '{name}' must have shape {shape}, got {tuple(value.shape)}"
            )
        if value.dtype != like.dtype:
            raise InputError(
                f"state field '{name}' must have dtype {like.dtype}, got {value.dtype}"
            )
    fields = {f"state field '{name}'": getattr(state, name) for name in kind._fields}
    check_device(like.device, fields)
    check_finite(fields, "start from None or a finite state")
    return state
