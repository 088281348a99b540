"""Adaptive leaky integrate-and-fire, discretised by the symplectic Euler method.

    u_t = alpha_mem v_{t-1} + (1 - alpha_mem) (i_t - w_{t-1})
    z_t = [u_t > v_th]
    v_t = u_t (1 - z_t)
    w_t = alpha_adapt w_{t-1} + (1 - alpha_adapt) (adapt_sub v_t + adapt_spike z_t)

The adaptation current uses the membrane of the same step, after its reset, which makes the pair
stable while (1 - alpha_mem) (1 - alpha_adapt) adapt_sub < (1 + alpha_mem) (1 + alpha_adapt). The
reset is hard and happens in the step of the spike, as this neuron is defined.

After Baronig et al. 2024 (arXiv 2408.07517), code IGITUGraz/SE-adlif: SEAdLIF. adapt_sub and
adapt_spike are the products q a and q b there, with q = 120, a in 0..1 and b in 0..2. Where we
differ: the gradient flows through the reset, where it is cut there; bounds are smooth, not
clamps; time constants are drawn about the middle of the ranges there (tau_mem 5..25 steps,
tau_adapt 60..300, here ms) and are not bounded. With steps of 5 ms and more, longer ones are
needed for stability.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from spikern.neurons.constants import between, decay, positive
from spikern.neurons.model import Fire, NeuronModel


class SEAdLIFParams(NamedTuple):
    """Decays of membrane and adaptation, couplings to v and to z, threshold, each (H,)."""

    alpha_mem: Tensor
    alpha_adapt: Tensor
    adapt_sub: Tensor
    adapt_spike: Tensor
    v_th: Tensor


class SEAdLIFState(NamedTuple):
    """Membrane potential after its reset, adaptation current, last spikes, each (B, H)."""

    v: Tensor
    w: Tensor
    z: Tensor


def step(p: SEAdLIFParams, s: SEAdLIFState, i: Tensor, fire: Fire) -> tuple[SEAdLIFState, Tensor]:
    """One time step; see the module's equation."""
    u = p.alpha_mem * s.v + (1 - p.alpha_mem) * (i - s.w)
    z = fire(u - p.v_th)
    v = u * (1 - z)
    w = p.alpha_adapt * s.w + (1 - p.alpha_adapt) * (p.adapt_sub * v + p.adapt_spike * z)
    return SEAdLIFState(v, w, z), z


SEAdLIF = NeuronModel(
    name="SEAdLIF",
    step=step,
    params=SEAdLIFParams,
    state=SEAdLIFState,
    constants={
        "alpha_mem": decay("tau_mem", 15.0, spread=0.4),
        "alpha_adapt": decay("tau_adapt", 180.0, spread=0.4),
        "adapt_sub": between("adapt_sub", 60.0, 0.0, 120.0, spread=1.5),
        "adapt_spike": between("adapt_spike", 120.0, 0.0, 240.0, spread=1.5),
        "v_th": positive("v_th", 1.0),
    },
    source="Baronig et al. 2024, arXiv 2408.07517",
)
