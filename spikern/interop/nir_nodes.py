"""NIR nodes of neurons, and the conversion of one population to and from its node.

    LIF      tau dv/dt = v_leak - v + R I                                 HardLIF
    CubaLIF  tau_syn dI/dt = -I + w_in S,  tau_mem dv/dt = v_leak - v + R I     HardCubaLIF
    LI       tau dv/dt = v_leak - v + R I                                 LI, the readout
    z = [v > v_threshold], strictly, and then v = v_reset

After `nir/ir/neuron.py` of nir 1.0.8. Times are in seconds there, in ms here. R and w_in go into
the weights; v is measured from v_leak.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from spikern._utils.errors import UnsupportedError
from spikern._utils.packages import require
from spikern.interop.cuba_lif_hard import HardCubaLIF
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.neurons.alif import ALIF
from spikern.neurons.cuba_lif import CubaLIF
from spikern.neurons.li import LI
from spikern.neurons.lif import LIF
from spikern.neurons.lif_hard import HardLIF
from spikern.neurons.model import NeuronModel, Step

Scheme = Literal["exponential", "euler"]
"""How a step of dt follows tau: alpha = exp(-dt / tau), or alpha = 1 - dt / tau."""
MS = 1e3
"""Milliseconds in a second."""
MODELS: dict[str, NeuronModel] = {"LIF": HardLIF, "CubaLIF": HardCubaLIF, "LI": LI}
"""The neuron of each node."""
NEEDED = {
    "LIF": ("tau_mem", "v_th"), "CubaLIF": ("tau_mem", "tau_syn", "v_th"), "LI": ("tau_mem",),
}  # fmt: skip
"""The constants, by symbol, without which a node cannot be made."""
EXACT: dict[Step, str] = {model.step: node for node, model in MODELS.items()}
"""The node with the same equation, by step."""
SOFT = "the soft reset: a spike sets v to 0 there"
LOSSY: dict[Step, tuple[str, str]] = {
    LIF.step: ("LIF", SOFT),
    CubaLIF.step: ("CubaLIF", SOFT),
    ALIF.step: ("LIF", f"the adaptation of the threshold, and {SOFT}"),
}
"""The nearest node and what it loses, by step."""


def losses(model: NeuronModel) -> str:
    """Return what of a neuron NIR cannot express; empty if it can express all.

    Raises UnsupportedError for a neuron that has no node at all.

    >>> losses(LIF)
    'the soft reset: a spike sets v to 0 there'
    """
    if model.step in EXACT:
        return ""
    if model.step not in LOSSY:
        raise UnsupportedError(
            f"NIR has no node for {model.name}; it has one for {', '.join(MODELS)}, that is "
            f"{', '.join(m.name for m in MODELS.values())}"
        )
    return LOSSY[model.step][1]


def node_of(layer: SpikingRNN, index: int) -> Any:
    """Return the neuron node of population `index`, in float64 so that reading it is exact."""
    nir = require("nir", "nir")
    neuron, size = layer.neurons[index], layer.hidden_sizes[index]
    kind = EXACT.get(neuron.step) or LOSSY[neuron.step][0]
    value = {}
    for c in neuron.constants.values():
        raw = getattr(layer, f"raw_{c.symbol}_l{index}")
        value[c.symbol] = c.value(raw.detach().double()).cpu().numpy()
    one, zero = np.ones(size), np.zeros(size)
    if missing := [symbol for symbol in NEEDED[kind] if symbol not in value]:
        raise UnsupportedError(
            f"a {kind} node of NIR has {', '.join(NEEDED[kind])}; {neuron.name} has no "
            f"{missing[0]}, but {', '.join(value)}"
        )
    tau = value["tau_mem"] / MS
    if kind == "LI":
        return nir.LI(tau=tau, r=one, v_leak=zero)
    shared = {"r": one, "v_leak": zero, "v_reset": value.get("v_reset", zero)}
    shared["v_threshold"] = value["v_th"]
    if kind == "LIF":
        return nir.LIF(tau=tau, **shared)
    return nir.CubaLIF(tau_syn=value["tau_syn"] / MS, tau_mem=tau, w_in=one, **shared)


def layer_of(
    node: Any, name: str, w_in: Tensor, bias: Tensor | None, w_rec: Tensor | None, dt: float,
    scheme: Scheme, sparse: bool, **settings: Any,
) -> SpikingRNN:  # fmt: skip
    """Return the layer of one population: neuron node, weights (to, from), dt in ms.

    Of a `sparse` one a recurrent weight of zero is no synapse. Potentials are counted from v_leak,
    so that a state of zero is a neuron at rest, wherever another simulator starts it.
    """
    kind = type(node).__name__
    hidden, features = w_in.shape
    numbers = {
        field: _numbers(getattr(node, field), hidden, f"{field} of node '{name}'")
        for field in ("tau", "tau_syn", "tau_mem", "r", "w_in", "v_leak", "v_threshold", "v_reset")
        if hasattr(node, field)
    }
    leak = numbers["v_leak"]
    if kind == "LI":
        if leak.any():
            raise UnsupportedError(f"node '{name}': an LI with v_leak other than 0 has no equal")
        layer: SpikingRNN = Readout(
            features, hidden, dt=dt, bias=bias is not None, dtype=w_in.dtype, **settings
        )
    else:
        recurrent = w_rec != 0 if sparse and w_rec is not None else w_rec is not None
        layer = SpikingRNN(
            MODELS[kind], features, hidden, bias=bias is not None, recurrent=recurrent,
            dt=dt, dtype=w_in.dtype, **settings,
        )  # fmt: skip
    gain = torch.from_numpy(numbers["r"] * numbers.get("w_in", 1.0)).to(w_in.dtype)
    raw = {"tau_mem": _raw_tau(numbers["tau" if "tau" in numbers else "tau_mem"], dt, scheme, name)}
    if "tau_syn" in numbers:
        raw["tau_syn"] = _raw_tau(numbers["tau_syn"], dt, scheme, name)
    if kind != "LI":
        threshold = numbers["v_threshold"] - leak
        if not (threshold > 0).all():
            raise UnsupportedError(f"node '{name}': v_threshold must be above v_leak")
        raw |= {"v_th": np.log(threshold), "v_reset": numbers["v_reset"] - leak}
    with torch.no_grad():
        layer.weight_ih_l0.copy_(w_in * gain.unsqueeze(1))
        if bias is not None:
            layer.get_parameter("bias_l0").copy_(bias * gain)
        if w_rec is not None:
            layer.get_parameter("weight_hh_l0").copy_(w_rec * gain.unsqueeze(1))
        for symbol, value in raw.items():
            getattr(layer, f"raw_{symbol}_l0").copy_(torch.from_numpy(value))
    return layer


def _numbers(value: Any, size: int, what: str) -> np.ndarray[Any, Any]:
    """Return one finite number per neuron, float64."""
    array = np.asarray(value, dtype=np.float64).reshape(-1)
    if np.ndim(value) > 1 or array.size not in (1, size):
        raise UnsupportedError(f"{what} has shape {np.shape(value)}; expected ({size},)")
    if not np.isfinite(array).all():
        raise UnsupportedError(f"{what} is not finite")
    return np.broadcast_to(array, (size,)).copy()


def _raw_tau(tau: np.ndarray[Any, Any], dt: float, scheme: Scheme, name: str) -> Any:
    """Return log tau in ms, where exp(-dt / tau) is the decay of the scheme."""
    tau = tau * MS
    least = 0.0 if scheme == "exponential" else dt
    if not (tau > least).all():
        raise UnsupportedError(
            f"node '{name}': time constants must be above {least:g} ms "
            f"({scheme}, dt {dt:g} ms), got {tau.min():g} ms"
        )
    if scheme == "exponential":
        return np.log(tau)
    return math.log(dt) - np.log(-np.log1p(-dt / tau))
