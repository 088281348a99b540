"""The form of a step: what one call gives, and what it leaves alone."""

from __future__ import annotations

import torch
from torch import Tensor

from spikern.types import InputError, NeuronModel, Params

SAMPLES = 2
EXAMPLE = 0.5
"""In every field of the state and as the current: a change in place shows, as it would not in 0."""


def check_step(model: NeuronModel, params: Params) -> None:
    """Call the step once, with params (H,) and 2 samples; an InputError says what is amiss.

    It must return the next state, of the neuron's own type, and an output, each (2, H) in the
    dtype of params; call `fire` if the neuron spikes; and change none of its arguments.
    """
    name = f"the step of {model.name}"
    params = model.params(*(p.detach() for p in params))
    like, fields = params[0], model.state._fields
    shape = (SAMPLES, len(like))
    state = model.state(*(like.new_full(shape, EXAMPLE) for _ in fields))
    current = like.new_full(shape, EXAMPLE)
    arguments = {
        **{f"p.{field}": value for field, value in zip(params._fields, params)},
        **{f"s.{field}": value for field, value in zip(fields, state)},
        "the current": current,
    }
    before = {what: value.clone() for what, value in arguments.items()}
    asked: list[Tensor] = []

    def fire(u: Tensor) -> Tensor:
        asked.append(u)
        return (u > 0).to(u.dtype)

    try:
        with torch.no_grad():
            returned = model.step(params, state, current, fire)
    except RuntimeError as error:
        raise InputError(
            f"{name} fails on {SAMPLES} samples of {len(like)} neurons: {error}; use elementwise "
            "torch operations, and torch.where in place of an if"
        ) from error
    if model.spikes and not asked:
        raise InputError(f"{name} never calls fire; a spiking neuron has z = fire(v - p.v_th)")
    if not (
        type(returned) is tuple and len(returned) == 2 and isinstance(returned[0], model.state)
    ):
        raise InputError(
            f"{name} must return two things, a {model.state.__name__} and the output, "
            f"got {_described(returned)}"
        )
    following, out = returned
    for what, value in [*zip(fields, following), ("the output", out)]:
        if not isinstance(value, Tensor) or (value.shape, value.dtype) != (shape, like.dtype):
            raise InputError(
                f"{name} makes {what} {_described(value)}, expected {shape} {like.dtype}"
            )
    for what, value in arguments.items():
        if not torch.equal(value, before[what]):
            raise InputError(
                f"{name} changes {what} in place; make a new tensor, x = x + y rather than "
                "x += y or x.add_(y)"
            )


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {value.dtype}"
    if type(value) is tuple:
        return f"({', '.join(type(v).__name__ for v in value)})"
    return type(value).__name__
