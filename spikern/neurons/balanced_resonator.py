"""Balanced resonate-and-fire: an oscillator that stays stable, and damps itself after a spike.

    q_t = alpha_ref q_{t-1} + z_{t-1}
    g_t = sqrt(1 - omega^2) - (1 - alpha_mem) - q_damp q_t
    v_t = g_t v_{t-1} - omega y_{t-1} + i_t         omega and q_damp stand for omega dt, q_damp dt
    y_t = g_t y_{t-1} + omega v_{t-1}
    z_t = [v_t > v_th + q_t]

There is no reset: after a spike the refractoriness q raises the threshold and damps the
oscillation, whose phase is kept. Without alpha_mem and q its amplitude would neither grow nor
shrink, because g^2 + omega^2 = 1; the square root marks this boundary.

After Higuchi et al. 2024 (arXiv 2402.14603), code AdaptiveAILab/brf-neurons: v + i y is u + i v
there, 1 + b dt is g, and dt is 0.01 per step, here read as 1 ms. The update is the same, with q
written before its use. Where we differ: the damping b' dt > 0 there is 1 - alpha_mem here, so it
is below 1; the current enters with gain 1, not dt. omega dt must stay below 1, as there; here `fit`
keeps it there, as `keep_stable` does in a loop of one's own.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from spikern.neurons.constants import decay, frequency, positive
from spikern.neurons.model import Fire, NeuronModel


class BRFParams(NamedTuple):
    """Decays of oscillation and refractoriness, angle and damping per step, threshold, (H,)."""

    alpha_mem: Tensor
    alpha_ref: Tensor
    omega: Tensor
    q_damp: Tensor
    v_th: Tensor


class BRFState(NamedTuple):
    """Membrane potential, the oscillation's other variable, refractoriness, spikes, (B, H)."""

    v: Tensor
    y: Tensor
    q: Tensor
    z: Tensor


def step(p: BRFParams, s: BRFState, i: Tensor, fire: Fire) -> tuple[BRFState, Tensor]:
    """One time step; see the module's equation."""
    q = p.alpha_ref * s.q + s.z
    g = torch.sqrt(1 - p.omega * p.omega) - (1 - p.alpha_mem) - p.q_damp * q
    v = g * s.v - p.omega * s.y + i
    y = g * s.y + p.omega * s.v
    z = fire(v - (p.v_th + q))
    return BRFState(v, y, q, z), z


BRF = NeuronModel(
    name="BRF",
    step=step,
    params=BRFParams,
    state=BRFState,
    constants={
        "alpha_mem": decay("tau_mem", 40.0, spread=0.5),
        "alpha_ref": decay("tau_ref", 9.5, trainable=False),
        "omega": frequency("omega", 0.07, spread=0.2, below=1.0),
        "q_damp": frequency("q_damp", 0.01, trainable=False),
        "v_th": positive("v_th", 1.0),
    },
    source="Higuchi et al. 2024, arXiv 2402.14603",
)
