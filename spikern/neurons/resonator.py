"""Resonate-and-fire: a damped oscillator that fires when it reaches the threshold.

    y' = (1 - z_{t-1}) y_{t-1}                v' = (1 - z_{t-1}) v_{t-1} + z_{t-1} v_th
    y_t = alpha_mem y' - omega v' + i_t
    v_t = alpha_mem v' + omega y_t            omega stands for omega dt
    z_t = [v_t > v_th]

Input that comes at the neuron's own frequency adds up; at another it cancels. A spike sets the
neuron to y = 0, v = v_th, from where the oscillation continues.

After Izhikevich 2001 (doi 10.1016/S0893-6080(01)00078-8): y + i v is z there, which follows
dz/dt = (b + i omega) z + I and is set to i when its imaginary part passes 1; b is -1 / tau_mem.
Continuous there; here a symplectic Euler step, in which v uses the new y. The oscillation decays by
alpha_mem per step for any omega, has a period of pi / asin(omega / (2 sqrt(alpha_mem))) steps, and
is stable while omega^2 < 4 alpha_mem. Constants are near those in the code of Higuchi et al. 2024
(AdaptiveAILab/brf-neurons: omega 5..10, b -3..0), a step of 0.01 there read as 1 ms.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from spikern.neurons.constants import decay, frequency, positive
from spikern.neurons.model import Fire, NeuronModel


class RFParams(NamedTuple):
    """Decay of the oscillation, angle per step, threshold, each (H,)."""

    alpha_mem: Tensor
    omega: Tensor
    v_th: Tensor


class RFState(NamedTuple):
    """The oscillation's current-like and voltage-like variables, last spikes, each (B, H)."""

    y: Tensor
    v: Tensor
    z: Tensor


def step(p: RFParams, s: RFState, i: Tensor, fire: Fire) -> tuple[RFState, Tensor]:
    """One time step; see the module's equation."""
    quiet = 1 - s.z
    v = quiet * s.v + s.z * p.v_th
    y = p.alpha_mem * (quiet * s.y) - p.omega * v + i
    v = p.alpha_mem * v + p.omega * y
    z = fire(v - p.v_th)
    return RFState(y, v, z), z


RF = NeuronModel(
    name="RF",
    step=step,
    params=RFParams,
    state=RFState,
    constants={
        "alpha_mem": decay("tau_mem", 70.0, spread=0.5),
        "omega": frequency("omega", 0.07, spread=0.2),
        "v_th": positive("v_th", 1.0),
    },
    source="Izhikevich 2001, doi 10.1016/S0893-6080(01)00078-8",
)
