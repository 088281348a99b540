"""Leaky integrate-and-fire with an absolute refractory period after a spike.

    r_t = z_{t-1} n_ref + (1 - z_{t-1}) max(r_{t-1} - 1, 0)
    v_t = alpha_mem (1 - z_{t-1}) v_{t-1} + (1 - alpha_mem) [r_t = 0] i_t
    z_t = [v_t > v_th]                              n_ref = round(t_ref / dt) whole steps

r is the number of refractory steps left. A spike sets the membrane to rest (hard reset); while r is
above zero no current enters, so v stays at rest, and the next spike is at least n_ref + 1 steps
after the last.

Reset and hold are those of LifNeuron in CSIM (lsm.tugraz.at/csim). Where we differ: potentials are
in thresholds, rest and reset are 0, and the reset comes with the update after the spike. The
gradient flows through the reset; the count r has none.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from spikern.neurons.constants import decay, positive, steps
from spikern.neurons.model import Fire, NeuronModel


class RefractoryLIFParams(NamedTuple):
    """Decay of the membrane, threshold, refractory steps after a spike, each (H,)."""

    alpha_mem: Tensor
    v_th: Tensor
    n_ref: Tensor


class RefractoryLIFState(NamedTuple):
    """Membrane potential, refractory steps left, last spikes, each (B, H)."""

    v: Tensor
    r: Tensor
    z: Tensor


def step(
    p: RefractoryLIFParams, s: RefractoryLIFState, i: Tensor, fire: Fire
) -> tuple[RefractoryLIFState, Tensor]:
    """One time step; see the module's equation."""
    quiet = 1 - s.z
    r = s.z * p.n_ref + quiet * (s.r - 1).clamp(min=0)
    i = torch.where(r > 0, torch.zeros_like(i), i)
    v = p.alpha_mem * (quiet * s.v) + (1 - p.alpha_mem) * i
    z = fire(v - p.v_th)
    return RefractoryLIFState(v, r, z), z


RefractoryLIF = NeuronModel(
    name="RefractoryLIF",
    step=step,
    params=RefractoryLIFParams,
    state=RefractoryLIFState,
    constants={
        "alpha_mem": decay("tau_mem", 20.0, spread=0.5),
        "v_th": positive("v_th", 1.0),
        "n_ref": steps("t_ref", 2.0),
    },
    source="LifNeuron of CSIM, lsm.tugraz.at/csim",
)
