"""Adaptive leaky integrate-and-fire: every spike raises the threshold for a while.

    a_t = alpha_adapt a_{t-1} + (1 - alpha_adapt) z_{t-1}
    v_t = alpha_mem v_{t-1} + (1 - alpha_mem) i_t - v_th z_{t-1}
    z_t = [v_t > v_th + adapt_scale a_t]

After Bellec et al. 2018 (arXiv 1803.09574) and Yin et al. 2021 (arXiv 2103.12593). Where we
differ from Yin: the reset subtracts the resting threshold v_th, not the adapted one; v_th is 1,
not 0.01 or 0.1 (the scale of v is otherwise free); the initial state is zero, not random.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from spikern.neurons.constants import decay, positive
from spikern.neurons.model import Fire, NeuronModel


class ALIFParams(NamedTuple):
    """Decays of membrane and adaptation, threshold, strength of adaptation, each (H,)."""

    alpha_mem: Tensor
    alpha_adapt: Tensor
    v_th: Tensor
    adapt_scale: Tensor


class ALIFState(NamedTuple):
    """Membrane potential, threshold adaptation and last spikes, each (B, H)."""

    v: Tensor
    a: Tensor
    z: Tensor


def step(p: ALIFParams, s: ALIFState, i: Tensor, fire: Fire) -> tuple[ALIFState, Tensor]:
    """One time step; see the module's equation."""
    a = p.alpha_adapt * s.a + (1 - p.alpha_adapt) * s.z
    v = p.alpha_mem * s.v + (1 - p.alpha_mem) * i - p.v_th * s.z
    z = fire(v - (p.v_th + p.adapt_scale * a))
    return ALIFState(v, a, z), z


ALIF = NeuronModel(
    name="ALIF",
    step=step,
    params=ALIFParams,
    state=ALIFState,
    constants={
        "alpha_mem": decay("tau_mem", 20.0, spread=0.5),
        "alpha_adapt": decay("tau_adapt", 150.0, spread=0.5),
        "v_th": positive("v_th", 1.0),
        "adapt_scale": positive("adapt_scale", 1.8),
    },
    source="Bellec et al. 2018, arXiv 1803.09574; Yin et al. 2021, arXiv 2103.12593",
)
