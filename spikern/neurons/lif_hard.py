"""Leaky integrate-and-fire with a hard reset: a spike sets the membrane to a fixed potential.

    v_t = alpha_mem ((1 - z_{t-1}) v_{t-1} + z_{t-1} v_reset) + (1 - alpha_mem) i_t
    z_t = [v_t > v_th]

The part of v above the threshold is lost; the soft reset of LIF keeps it. As in the other neurons
the reset comes with the update after the spike, so at a spike v_t is the peak.

The reset of Lapicque's neuron, as in Gerstner et al. 2014, Neuronal Dynamics, section 1.3. Where
we differ from libraries with a hard reset: v_reset leaks for a step (alpha_mem v_reset; no
difference for v_reset = 0), and the gradient of the reset is not cut.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from spikern.neurons.constants import decay, positive, real
from spikern.neurons.model import Fire, NeuronModel


class HardLIFParams(NamedTuple):
    """Decay of the membrane, threshold, potential after a spike, each (H,)."""

    alpha_mem: Tensor
    v_th: Tensor
    v_reset: Tensor


class HardLIFState(NamedTuple):
    """Membrane potential and last spikes, each (B, H)."""

    v: Tensor
    z: Tensor


def step(p: HardLIFParams, s: HardLIFState, i: Tensor, fire: Fire) -> tuple[HardLIFState, Tensor]:
    """One time step; see the module's equation."""
    v = (1 - s.z) * s.v + s.z * p.v_reset
    v = p.alpha_mem * v + (1 - p.alpha_mem) * i
    z = fire(v - p.v_th)
    return HardLIFState(v, z), z


HardLIF = NeuronModel(
    name="HardLIF",
    step=step,
    params=HardLIFParams,
    state=HardLIFState,
    constants={
        "alpha_mem": decay("tau_mem", 20.0, spread=0.5),
        "v_th": positive("v_th", 1.0),
        "v_reset": real("v_reset", 0.0),
    },
    source="Lapicque 1907; Gerstner et al. 2014, Neuronal Dynamics, section 1.3",
)
