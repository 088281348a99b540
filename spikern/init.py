"""Initial weights that make a fresh network fire at a few per cent, neither silent nor saturated.

Two steps. `drive` is the theory: weights scaled so that white input of known power leaves each
neuron's standard deviation at a set fraction of its distance to threshold, whatever its
equation. `calibrate` is the measurement: real data is seldom white, so one batch sets one gain
a layer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from spikern.engines.stack import Input
from spikern.form import check_step
from spikern.types import InputError, NeuronModel, Params

if TYPE_CHECKING:
    from spikern.layers import SpikingRNN

IMPULSE_STEPS = 256
IMPULSES = (1.0, 1 / 8, 1 / 64)
"""Currents to try: a neuron that is not linear may run away from a large one."""
LASTING = 1.8
"""A response whose power grows by this factor in the second half of those steps never dies away."""
MEMORY = 50
"""Steps that such a response is counted for: then spikes, at a few per cent, have ended it."""
BOUND = 1e3
"""A response whose power grows by more than this in those steps is that of an unstable neuron."""
TINY = 1e-6


def zero_state(model: NeuronModel, shape: tuple[int, ...], like: Tensor) -> object:
    """The state of a neuron before its first step: all zero."""
    return model.state(*(like.new_zeros(shape) for _ in model.state._fields))


class Response(NamedTuple):
    """How far a current moves each neuron, and how far it has to go; each (H,).

    With u_t the distance to threshold after a unit current in one step, spiking switched off:

        gain      sqrt(sum_t (u_t - u_rest)^2): white input of deviation s moves u by s * gain;
                  over MEMORY steps for a neuron without leak, whose response never dies away
        constant  |sum_t (u_t - u_rest)|: a constant input i moves u by i * constant
        distance  -u_rest
    """

    gain: Tensor
    constant: Tensor
    distance: Tensor


def impulse_response(model: NeuronModel, params: Params) -> Response:
    """Measure the response; a neuron that never fires has its output for u, and distance 1.

    Raises InputError if the step has not the form of one, and if the response grows without
    bound, as that of an oscillator with too long a step.
    """
    check_step(model, params)
    recorded: list[Tensor] = []

    def watch(u: Tensor) -> Tensor:
        recorded.append(u)
        return torch.zeros_like(u)

    def trace(impulse: float) -> Tensor:
        recorded.clear()
        like = params[0].detach()
        state = zero_state(model, (1, len(like)), like)
        for t in range(IMPULSE_STEPS):
            current = torch.full_like(like, impulse if t == 0 else 0.0).unsqueeze(0)
            state, out = model.step(params, state, current, watch)
            if not model.spikes:
                recorded.append(out)
        return torch.stack(recorded)[:, 0]

    with torch.no_grad():
        rest = trace(0.0)
        if not bool(torch.isfinite(rest).all()):
            raise InputError(
                f"{model.name} does not stay finite without any current; the state starts at "
                "zero, so write it as deviations from rest"
            )
        for impulse in IMPULSES:
            moved = (trace(impulse) - rest) / impulse
            power, half, recent = (
                moved[:steps].square().sum(0)
                for steps in (IMPULSE_STEPS, IMPULSE_STEPS // 2, MEMORY)
            )
            if bool((power < BOUND * (half + TINY)).all()):
                break
        else:
            raise InputError(
                f"{model.name} is unstable with these constants: without a spike, its answer to "
                "one current grows beyond bounds; choose other means (with_constants) or a "
                "shorter dt"
            )
    gain = torch.where(power > LASTING * half, recent, power).sqrt()
    distance = -rest[0] if model.spikes else torch.ones_like(rest[0])
    return Response(gain, moved.sum(0).abs(), distance)


class Recurrence(NamedTuple):
    """Which neurons hear which, within a layer or from the one above.

    `recurrent` says whether any does; then all, or those of a mask (to, from) or a share of pairs.
    """

    title: str
    recurrent: bool
    mask: Tensor | None = None
    density: float | None = None


def recurrence(name: str, given: bool | str | float | Tensor, size: int) -> Recurrence:
    """What the argument `name` of a layer says. Raises InputError if it says nothing known."""
    if isinstance(given, bool):
        return Recurrence(str(given), given)
    if isinstance(given, Tensor):
        if tuple(given.shape) != (size, size) or not bool(given.count_nonzero()):
            raise InputError(
                f"expected a mask of shape ({size}, {size}) that leaves synapses, "
                f"got {tuple(given.shape)} with {int(given.count_nonzero())}"
            )
        return Recurrence(f"mask of {int(given.count_nonzero())}", True, given != 0)
    if given == "diagonal":
        return Recurrence("diagonal", True, torch.eye(size, dtype=torch.bool))
    if isinstance(given, (int, float)) and 0 < given <= 1:
        return Recurrence(f"{given:g}", True, density=float(given) if given < 1 else None)
    raise InputError(
        f"{name} must be True, False, 'diagonal', a share between 0 and 1 or a mask, got {given}"
    )


def links(pattern: Recurrence, size: int) -> Tensor | None:
    """The synapses of a pattern as (from, to), (N, 2) int64 ascending; None if all exist.

    A share is drawn to its exact number, so that layers of one density have tensors of one shape.
    """
    if pattern.density is not None:
        number = max(1, round(pattern.density * size**2))
        drawn = torch.randperm(size**2)[:number].sort().values
        return torch.stack([drawn // size, drawn % size], 1)
    return None if pattern.mask is None else pattern.mask.T.nonzero()


def thin(weight: Tensor, links: Tensor) -> None:
    """Leave weight (H, H) only where links lead, so much stronger that the drive stays, in place.

    Each neuron's row is scaled by sqrt(H / its synapses).
    """
    exists = torch.zeros_like(weight)
    exists[links[:, 1], links[:, 0]] = 1.0
    scale = (len(weight) / exists.sum(1, keepdim=True).clamp(min=1.0)).sqrt()
    with torch.no_grad():
        weight.mul_(exists * scale)


def drive(weight: Tensor, response: Response, power: float, fraction: float) -> None:
    """Fill weight (H, F) in place: Normal with std = fraction * distance / (gain sqrt(F power)).

    `power` is the mean square of one input: 1 for standardised values, the rate for events.
    """
    fan_in = weight.shape[1]
    std = fraction * response.distance / (response.gain.clamp(min=TINY) * (fan_in * power) ** 0.5)
    with torch.no_grad():
        weight.normal_().mul_(std.unsqueeze(1).to(weight.dtype))


def excite(bias: Tensor, response: Response, fraction: float) -> None:
    """Fill bias (H,) in place: Normal with std = fraction * distance / max(gain, constant).

    Neurons of different excitability answer to different levels of the same input.
    """
    reach = torch.maximum(response.gain, response.constant).clamp(min=TINY)
    with torch.no_grad():
        bias.normal_().mul_((fraction * response.distance / reach).to(bias.dtype))


def calibrate(
    layers: SpikingRNN, x: Input, lengths: Tensor | None = None, rate: float = 0.05
) -> list[float]:
    """Scale each layer's input weights so that it fires at `rate` on x (T, B, F), in order.

    Returns the rates reached. The gain is found by bisection of its logarithm between 1/64 and
    64 times the present weights. Dropout rests meanwhile; learned delays are spread if the layers
    are in training, as it begins with them. In a network with feedback a layer's rate may still
    move while those above it are calibrated.

    >>> from spikern.layers import SpikingRNN
    >>> _ = torch.manual_seed(0)
    >>> layers = SpikingRNN("LIF", 8, 32)
    >>> 0.03 < calibrate(layers, torch.rand(50, 16, 8))[0] < 0.07
    True
    """
    if not 0.0 < rate < 1.0:
        raise InputError(f"the target rate must lie between 0 and 1, got {rate}")
    dropout, layers.dropout = layers.dropout, 0.0
    try:
        return [_calibrated(layers, index, x, lengths, rate) for index in range(len(layers.names))]
    finally:
        layers.dropout = dropout


def _calibrated(
    layers: SpikingRNN, index: int, x: Input, lengths: Tensor | None, rate: float
) -> float:
    """The rate that a population reaches when its input weights are scaled to fire at `rate`."""
    weight = getattr(layers, f"weight_ih_{layers.names[index]}")
    original = weight.detach().clone()

    def measure(log_gain: float) -> float:
        with torch.no_grad():
            weight.copy_(original * 2.0**log_gain)
            made = layers.run(x, lengths=lengths)
            return firing_rates(made.spikes, x, lengths)[index]

    return _bisect(measure, rate)


def _bisect(measure: Callable[[float], float], target: float, rounds: int = 10) -> float:
    low, high = -6.0, 6.0
    measured = 0.0
    for _ in range(rounds):
        middle = 0.5 * (low + high)
        measured = measure(middle)
        if measured < target:
            low = middle
        else:
            high = middle
    return measured


def firing_rates(spikes: list[Tensor], x: Input, lengths: Tensor | None = None) -> list[float]:
    """Spikes per neuron and step of each layer, from its spikes (H,) on x (T, B, F)."""
    steps = x.shape[0] * x.shape[1] if lengths is None else int(lengths.sum())
    return [float(n.detach().sum()) / (steps * len(n)) for n in spikes]


def warn_of_extreme_rates(rates: list[float]) -> None:
    """A warning for every layer that is silent or fires at more than half of all steps."""
    for index, rate in enumerate(rates):
        if rate == 0.0 or rate > 0.5:
            what = "is silent" if rate == 0.0 else f"fires at {rate:.0%} of its steps"
            warnings.warn(
                f"layer {index} {what} on the first batch; scale the input, pass its power as "
                f"input_power=, or call spikern.calibrate(layers, x)",
                stacklevel=2,
            )
