"""Leaky integrate-and-fire.

    v_t = alpha_mem v_{t-1} + (1 - alpha_mem) i_t - v_th z_{t-1}
    z_t = [v_t > v_th]                                    alpha_mem = exp(-dt / tau_mem)

Soft reset: the update after a spike subtracts v_th.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from spikern.neurons.constants import decay, positive
from spikern.neurons.model import Fire, NeuronModel


class LIFParams(NamedTuple):
    """Decay of the membrane and threshold, each (H,)."""

    alpha_mem: Tensor
    v_th: Tensor


class LIFState(NamedTuple):
    """Membrane potential and last spikes, each (B, H)."""

    v: Tensor
    z: Tensor


def step(p: LIFParams, s: LIFState, i: Tensor, fire: Fire) -> tuple[LIFState, Tensor]:
    """One time step; see the module's equation."""
    v = p.alpha_mem * s.v + (1 - p.alpha_mem) * i - p.v_th * s.z
    z = fire(v - p.v_th)
    return LIFState(v, z), z


LIF = NeuronModel(
    name="LIF",
    step=step,
    params=LIFParams,
    state=LIFState,
    constants={"alpha_mem": decay("tau_mem", 20.0, spread=0.5), "v_th": positive("v_th", 1.0)},
    source="Lapicque 1907; discretised as in Yin et al. 2021, arXiv 2103.12593",
)
