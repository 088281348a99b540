"""Initial weights with which a fresh network fires at a few per cent, neither silent nor saturated.

Weights are scaled so that white input of known power moves each neuron by a standard deviation
that is a set fraction of its distance to threshold, whatever its equation. Real data is seldom
white; `spikern.calibrate` then measures one batch and sets one gain per layer.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from spikern._utils.errors import InputError
from spikern.neurons.model import NeuronModel, Params, check_step, zero_state

IMPULSE_STEPS = 256
IMPULSES = (1.0, 1 / 8, 1 / 64)
"""Currents to try in this order: a large one may drive a nonlinear neuron out of bounds."""
LASTING = 1.8
"""A response whose power grows by this factor in the second half of the steps never decays."""
MEMORY = 50
"""Steps of a response that never decays: after these, spikes at a few per cent have ended it."""
BOUND = 1e3
"""A response whose power grows by more than this factor is that of an unstable neuron."""
TINY = 1e-6


class Response(NamedTuple):
    """How far a current moves each neuron, and its distance to threshold at rest; each (H,).

    With u_t the distance to threshold after a unit current in one step, spiking switched off:

        gain      sqrt(sum_t (u_t - u_rest)^2): white input of deviation s moves u by s * gain;
                  over MEMORY steps for a neuron without leak, whose response never decays
        constant  |sum_t (u_t - u_rest)|: a constant input i moves u by i * constant
        distance  -u_rest
    """

    gain: Tensor
    constant: Tensor
    distance: Tensor


def impulse_response(model: NeuronModel, params: Params) -> Response:
    """Measure the response; for a neuron that never fires, u is its output and the distance 1.

    Raises InputError if the step breaks the contract of a step function, if nothing happens, as
    where 1 - alpha is rounded to 0, and if the response grows without bound, as that of an
    oscillator with too long a time step.
    """
    check_step(model, params)
    distances: list[Tensor] = []

    def never_fire(u: Tensor) -> Tensor:
        distances.append(u)
        return torch.zeros_like(u)

    def trace(impulse: float) -> Tensor:
        distances.clear()
        like = params[0].detach()
        state = zero_state(model, (1, len(like)), like)
        for t in range(IMPULSE_STEPS):
            current = torch.full_like(like, impulse if t == 0 else 0.0).unsqueeze(0)
            state, out = model.step(params, state, current, never_fire)
            if not model.spikes:
                distances.append(out)
        return torch.stack(distances)[:, 0]

    with torch.no_grad():
        rest = trace(0.0)
        if not bool(torch.isfinite(rest).all()):
            raise InputError(
                f"{model.name} does not stay finite without any current: its constants may have "
                "left the stable region (for an oscillator omega * dt must stay below 1), or its "
                "state, which starts at zero, must be written as deviations from rest"
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
    if bool((gain == 0).any()):
        raise InputError(
            f"{model.name} does not respond to a current with these constants; where it scales its "
            f"input by 1 - exp(-dt / tau), choose a tau below 1e6 dt"
        )
    distance = -rest[0] if model.spikes else torch.ones_like(rest[0])
    if bool((distance == 0).any()):
        raise InputError(
            f"{model.name} rests exactly at its threshold, by which initial weights are scaled; "
            f"choose a threshold above rest"
        )
    return Response(gain, moved.sum(0).abs(), distance)


def draw_weight(weight: Tensor, response: Response, power: float, fraction: float) -> None:
    """Draw weight (H, F) in place: Normal with std = fraction * distance / (gain sqrt(F power)).

    `power` is the mean square of one input: 1 for standardised values, the rate for events.
    """
    fan_in = weight.shape[1]
    std = fraction * response.distance / (response.gain.clamp(min=TINY) * (fan_in * power) ** 0.5)
    with torch.no_grad():
        weight.normal_().mul_(std.unsqueeze(1).to(weight.dtype))


def draw_bias(bias: Tensor, response: Response, fraction: float) -> None:
    """Draw bias (H,) in place: Normal with std = fraction * distance / max(gain, constant).

    Neurons of different excitability respond to different levels of the same input.
    """
    reach = torch.maximum(response.gain, response.constant).clamp(min=TINY)
    with torch.no_grad():
        bias.normal_().mul_((fraction * response.distance / reach).to(bias.dtype))
