"""Exponential integrate-and-fire: above a soft threshold the membrane diverges by itself.

    v' = (1 - z_{t-1}) v_{t-1}
    v_t = alpha_mem v' + (1 - alpha_mem) (i_t + v_sharp exp((v' - v_rh) / v_sharp))
    z_t = [v_t > v_th]

v_rh is the potential where the divergence begins (the rheobase threshold: a constant i above v_rh
- v_sharp ends in a spike), and v_sharp says how sharply; v_th only cuts the spike off. The
membrane is at rest after a spike, so the exponent never exceeds (v_th - v_rh) / v_sharp, and v
stays finite for any input.

After Fourcaud-Trocme et al. 2003, J. Neurosci. 23:11628-11640. Where we differ: the leak is exact
and the exponential current an Euler step (continuous there); potentials are in thresholds, with
v_rh = 1/2 and v_sharp = 1/10 of v_th above rest; no refractory time.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from spikern.neurons.constants import decay, positive
from spikern.neurons.model import Fire, NeuronModel


class EIFParams(NamedTuple):
    """Decay of the membrane, rheobase threshold, its sharpness, cut-off, each (H,)."""

    alpha_mem: Tensor
    v_rh: Tensor
    v_sharp: Tensor
    v_th: Tensor


class EIFState(NamedTuple):
    """Membrane potential and last spikes, each (B, H)."""

    v: Tensor
    z: Tensor


def step(p: EIFParams, s: EIFState, i: Tensor, fire: Fire) -> tuple[EIFState, Tensor]:
    """One time step; see the module's equation."""
    v = (1 - s.z) * s.v
    i_exp = p.v_sharp * torch.exp((v - p.v_rh) / p.v_sharp)
    v = p.alpha_mem * v + (1 - p.alpha_mem) * (i + i_exp)
    z = fire(v - p.v_th)
    return EIFState(v, z), z


EIF = NeuronModel(
    name="EIF",
    step=step,
    params=EIFParams,
    state=EIFState,
    constants={
        "alpha_mem": decay("tau_mem", 20.0, spread=0.5),
        "v_rh": positive("v_rh", 0.5),
        "v_sharp": positive("v_sharp", 0.1),
        "v_th": positive("v_th", 1.0),
    },
    source="Fourcaud-Trocme et al. 2003, J. Neurosci. 23:11628-11640",
)
