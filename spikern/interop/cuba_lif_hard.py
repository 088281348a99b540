"""Current-based leaky integrate-and-fire with a hard reset, as the CubaLIF of NIR.

    i_syn_t = alpha_syn i_syn_{t-1} + (1 - alpha_syn) i_t
    v_t     = alpha_mem ((1 - z_{t-1}) v_{t-1} + z_{t-1} v_reset) + (1 - alpha_mem) i_syn_t
    z_t     = [v_t > v_th]

The synapse is the exact solution for a current that is constant over a step; the membrane takes
the synaptic current of the step's end for the whole step, an error of the order of dt.

Equations: CubaLIF in `nir/ir/neuron.py` of nir 1.0.8, with the gain that R and w_in bring in the
weights.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from spikern.neurons.constants import decay, positive, real
from spikern.neurons.model import Fire, NeuronModel


class HardCubaLIFParams(NamedTuple):
    """Decays of synapse and membrane, threshold, potential after a spike; each (H,)."""

    alpha_syn: Tensor
    alpha_mem: Tensor
    v_th: Tensor
    v_reset: Tensor


class HardCubaLIFState(NamedTuple):
    """Synaptic current, membrane potential and last spikes, each (B, H)."""

    i_syn: Tensor
    v: Tensor
    z: Tensor


def step(
    p: HardCubaLIFParams, s: HardCubaLIFState, i: Tensor, fire: Fire
) -> tuple[HardCubaLIFState, Tensor]:
    """Run one step of the module's equation."""
    i_syn = p.alpha_syn * s.i_syn + (1 - p.alpha_syn) * i
    kept = (1 - s.z) * s.v + s.z * p.v_reset
    v = p.alpha_mem * kept + (1 - p.alpha_mem) * i_syn
    z = fire(v - p.v_th)
    return HardCubaLIFState(i_syn, v, z), z


HardCubaLIF = NeuronModel(
    name="HardCubaLIF",
    step=step,
    params=HardCubaLIFParams,
    state=HardCubaLIFState,
    constants={
        "alpha_syn": decay("tau_syn", 5.0, spread=0.5),
        "alpha_mem": decay("tau_mem", 20.0, spread=0.5),
        "v_th": positive("v_th", 1.0),
        "v_reset": real("v_reset", 0.0),
    },
    source="CubaLIF of nir 1.0.8, discretised",
)
