"""Two-compartment neuron: a dendrite receives the input, the soma fires, and both are coupled.

    v' = v_{t-1} - v_th z_{t-1}
    v_dend_t = v_dend_{t-1} - reset_dend z_{t-1} - beta_soma v' + i_t
    v_t      = v' + beta_dend v_dend_t
    z_t      = [v_t > v_th]

Neither compartment leaks. Between spikes the two exchange their charge without loss, with a period
of pi / asin(sqrt(beta_soma beta_dend) / 2) steps: a memory that only spikes reduce.

After Zhang et al. 2024 (AAAI; arXiv 2308.13250), code ZhangShimin1/TC-LIF: v_dend and v are v1 and
v2, reset_dend is gamma, beta_soma and beta_dend are sigmoid(c1) and sigmoid(c2), 1/2 at first.
Where we differ: each neuron trains a pair of them (one pair per layer there), drawn with a
spread; both soft resets come with the next update, which gives the same numbers. No time
constant: dt changes nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from spikern.neurons.constants import between, positive
from spikern.neurons.model import Fire, NeuronModel


class TCLIFParams(NamedTuple):
    """Couplings of soma to dendrite and back, threshold, dendritic reset, each (H,)."""

    beta_soma: Tensor
    beta_dend: Tensor
    v_th: Tensor
    reset_dend: Tensor


class TCLIFState(NamedTuple):
    """Potentials of dendrite and soma, last spikes, each (B, H)."""

    v_dend: Tensor
    v: Tensor
    z: Tensor


def step(p: TCLIFParams, s: TCLIFState, i: Tensor, fire: Fire) -> tuple[TCLIFState, Tensor]:
    """One time step; see the module's equation."""
    soma = s.v - p.v_th * s.z
    v_dend = s.v_dend - p.reset_dend * s.z - p.beta_soma * soma + i
    v = soma + p.beta_dend * v_dend
    z = fire(v - p.v_th)
    return TCLIFState(v_dend, v, z), z


TCLIF = NeuronModel(
    name="TCLIF",
    step=step,
    params=TCLIFParams,
    state=TCLIFState,
    constants={
        "beta_soma": between("beta_soma", 0.5, 0.0, 1.0, spread=0.5, trainable=True),
        "beta_dend": between("beta_dend", 0.5, 0.0, 1.0, spread=0.5, trainable=True),
        "v_th": positive("v_th", 1.0),
        "reset_dend": positive("reset_dend", 0.5),
    },
    source="Zhang et al. 2024, arXiv 2308.13250",
)
