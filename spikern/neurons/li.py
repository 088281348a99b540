"""Leaky integrator: the readout. It has a membrane but no threshold, and never fires.

v_t = alpha_mem v_{t-1} + (1 - alpha_mem) i_t            output v_t
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from spikern.neurons.constants import decay
from spikern.neurons.model import Fire, NeuronModel


class LIParams(NamedTuple):
    """Decay of the membrane, (C,)."""

    alpha_mem: Tensor


class LIState(NamedTuple):
    """Membrane potential, (B, C)."""

    v: Tensor


def step(p: LIParams, s: LIState, i: Tensor, fire: Fire) -> tuple[LIState, Tensor]:
    """One time step; see the module's equation."""
    v = p.alpha_mem * s.v + (1 - p.alpha_mem) * i
    return LIState(v), v


LI = NeuronModel(
    name="LI",
    step=step,
    params=LIParams,
    state=LIState,
    constants={"alpha_mem": decay("tau_mem", 100.0)},
    source="Yin et al. 2021, arXiv 2103.12593",
    spikes=False,
)
