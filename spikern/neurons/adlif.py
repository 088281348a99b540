"""Leaky integrate-and-fire with an adaptation current, driven by the membrane and by spikes.

    w_t = alpha_adapt w_{t-1} + adapt_sub v_{t-1} + adapt_spike z_{t-1}
    v_t = alpha_mem (v_{t-1} - v_th z_{t-1}) + (1 - alpha_mem) (i_t - w_t)
    z_t = [v_t > v_th]

The subthreshold coupling adapt_sub makes an oscillator of the two leaks. Below
-(1 - alpha_adapt) it would let v grow without bound, so it is kept between 0 and 1.

After Bittar & Garner 2022 (doi 10.3389/fnins.2022.865897), code idiap/sparch: adlif. The reset
subtracts alpha_mem v_th, as there. Where we differ: adapt_sub (a there) is never below 0, because
the range -1..1 there includes unstable neurons; constants are bounded smoothly, not clamped; time
constants have no bounds, and their means are the middles of the ranges there (tau_mem 5..25 steps,
tau_adapt 30..120); the initial state is zero, not random.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from spikern.neurons.constants import between, decay, positive
from spikern.neurons.model import Fire, NeuronModel


class AdLIFParams(NamedTuple):
    """Decays of membrane and adaptation, couplings to v and to z, threshold, each (H,)."""

    alpha_mem: Tensor
    alpha_adapt: Tensor
    adapt_sub: Tensor
    adapt_spike: Tensor
    v_th: Tensor


class AdLIFState(NamedTuple):
    """Membrane potential, adaptation current and last spikes, each (B, H)."""

    v: Tensor
    w: Tensor
    z: Tensor


def step(p: AdLIFParams, s: AdLIFState, i: Tensor, fire: Fire) -> tuple[AdLIFState, Tensor]:
    """One time step; see the module's equation."""
    w = p.alpha_adapt * s.w + p.adapt_sub * s.v + p.adapt_spike * s.z
    v = p.alpha_mem * (s.v - p.v_th * s.z) + (1 - p.alpha_mem) * (i - w)
    z = fire(v - p.v_th)
    return AdLIFState(v, w, z), z


AdLIF = NeuronModel(
    name="AdLIF",
    step=step,
    params=AdLIFParams,
    state=AdLIFState,
    constants={
        "alpha_mem": decay("tau_mem", 15.0, spread=0.4),
        "alpha_adapt": decay("tau_adapt", 75.0, spread=0.4),
        "adapt_sub": between("adapt_sub", 0.5, 0.0, 1.0, spread=1.5),
        "adapt_spike": between("adapt_spike", 1.0, 0.0, 2.0, spread=1.5),
        "v_th": positive("v_th", 1.0),
    },
    source="Bittar & Garner 2022, doi 10.3389/fnins.2022.865897",
)
