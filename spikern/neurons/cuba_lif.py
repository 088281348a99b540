"""Current-based leaky integrate-and-fire: spikes arrive as a current that decays by itself.

    i_syn_t = alpha_syn i_syn_{t-1} + (1 - alpha_syn) i_t
    v_t     = alpha_mem v_{t-1} + (1 - alpha_mem) i_syn_t - v_th z_{t-1}
    z_t     = [v_t > v_th]

After Neftci, Mostafa & Zenke 2019 (arXiv 1901.09948). Where we differ: both currents enter with
the gain that lets a constant i settle at v = i (gain 1 there), and the membrane receives the
synaptic current of the same step (that of the step before there).
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from spikern.neurons.constants import decay, positive
from spikern.neurons.model import Fire, NeuronModel


class CubaLIFParams(NamedTuple):
    """Decays of synapse and membrane, threshold, each (H,)."""

    alpha_syn: Tensor
    alpha_mem: Tensor
    v_th: Tensor


class CubaLIFState(NamedTuple):
    """Synaptic current, membrane potential and last spikes, each (B, H)."""

    i_syn: Tensor
    v: Tensor
    z: Tensor


def step(p: CubaLIFParams, s: CubaLIFState, i: Tensor, fire: Fire) -> tuple[CubaLIFState, Tensor]:
    """One time step; see the module's equation."""
    i_syn = p.alpha_syn * s.i_syn + (1 - p.alpha_syn) * i
    v = p.alpha_mem * s.v + (1 - p.alpha_mem) * i_syn - p.v_th * s.z
    z = fire(v - p.v_th)
    return CubaLIFState(i_syn, v, z), z


CubaLIF = NeuronModel(
    name="CubaLIF",
    step=step,
    params=CubaLIFParams,
    state=CubaLIFState,
    constants={
        "alpha_syn": decay("tau_syn", 5.0, spread=0.5),
        "alpha_mem": decay("tau_mem", 20.0, spread=0.5),
        "v_th": positive("v_th", 1.0),
    },
    source="Neftci, Mostafa & Zenke 2019, arXiv 1901.09948",
)
