"""Conversion of snnTorch's recurrent cells to layers, and back.

    nn.Linear + Leaky, Synaptic, Alpha, RLeaky or RSynaptic   <->   SpikingRNN of one population
    nn.Linear + Lapicque                                       ->   the same

After snntorch 1.0.0. The neurons are those of `snntorch_neurons`, operation by operation, so values
and gradients equal those of snnTorch up to the rounding of one sum: here input and recurrence are
added to each other first, in snnTorch one after the other to the membrane.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from spikern._utils.choices import check_type
from spikern._utils.errors import InputError, UnsupportedError
from spikern._utils.packages import require
from spikern.interop.snntorch_neurons import RECURRENT, RESETS, Cell, snntorch_neuron
from spikern.interop.snntorch_surrogates import surrogate_from_snntorch, surrogate_to_snntorch
from spikern.layers.arguments import check_weights
from spikern.layers.connectivity import existing_matrix, synapses_of
from spikern.layers.rnn import SpikingRNN
from spikern.neurons.lif import LIF
from spikern.neurons.model import NeuronModel

CELLS: tuple[Cell, ...] = ("Leaky", "Lapicque", "Synaptic", "Alpha", "RLeaky", "RSynaptic")
ONE_WAY: tuple[Cell, ...] = ("Lapicque",)
"""The cells that `to_snntorch` does not make: R and C would give another decay by a rounding."""
NAMES = {
    **{"alpha_mem": "beta", "alpha_syn": "alpha", "v_th": "threshold", "w_self": "V"},
    **{"alpha_exc": "alpha", "alpha_inh": "beta"},
}
"""snnTorch's name of each constant."""
METHODS = {"subtract": "_base_sub", "zero": "_base_zero", "none": "_base_int"}
"""snnTorch's method of a cell for each reset."""
REFUSED = {
    "surrogate_disable": "there would be no gradient",
    "inhibition": "neurons of a layer do not silence each other here",
    "state_quant": "states are not quantised here",
    "graded_spikes_factor": "a spike is 0 or 1 here; multiply the weights behind the layer instead",
    "kernel_size": "there is no convolutional recurrence here",
    "reset_delay=False": "RSynaptic ignores it; reset_delay=True is what it computes",
    "threshold": "it must be above 0, else a neuron fires at rest",
    "learn_beta": "R and C are computed from beta once, so that training it changes nothing",
    "time_step > R C": "the decay 1 - time_step / (R C) is negative, so v swings at every step",
    "reset_mechanism='subtract'": "it subtracts the threshold from the excitatory current, which "
    "has another unit, and leaves the membrane potential as it is",
}
"""The settings of a cell that have no equal here, and why."""


def from_snntorch(linear: nn.Linear, cell: nn.Module, engine: str = "auto") -> SpikingRNN:
    """Return the layer that computes what a loop over `cell(linear(x[t]), ...)` computes.

    Input weight and bias come from `linear`, the recurrent ones from `cell.recurrent`; the two
    biases become one. Constants that the cell learns are trained here, under the names
    `raw_alpha_mem_l0` (beta), `raw_alpha_syn_l0` (alpha), `raw_v_th_l0` (threshold) and
    `raw_w_self_l0` (V). Frozen parameters stay frozen. The state starts at zero, whatever the
    cell's state is. `init_hidden` and `output`, which select what a call returns, are ignored.

    Raises UnsupportedError naming the setting that has no equal here.

    >>> import snntorch
    >>> from_snntorch(nn.Linear(3, 8), snntorch.RLeaky(beta=0.9, linear_features=8)).neuron.name
    'snnTorch RLeaky subtract'
    """
    library = require("snntorch", "snntorch")
    kind = next((k for k in CELLS if type(cell) is getattr(library, k)), None)
    if kind is None:
        raise UnsupportedError(f"{_kind(cell)} has no equal here; {', '.join(CELLS)} have one")
    if not isinstance(linear, nn.Linear):
        raise UnsupportedError(f"expected an nn.Linear before the {kind}, got {_kind(linear)}")
    snn_cell: Any = cell
    _refuse_settings(snn_cell, kind)
    hidden = linear.out_features
    one_to_one = kind in RECURRENT and not snn_cell.all_to_all
    recurrent = snn_cell.recurrent if kind in RECURRENT and snn_cell.all_to_all else None
    if recurrent is not None and recurrent.out_features != hidden:
        raise InputError(
            f"the cell has linear_features={recurrent.out_features}, "
            f"the Linear before it gives {hidden}"
        )
    mechanism = _mechanism(snn_cell, kind)
    reset_delay = mechanism == "none" or bool(getattr(snn_cell, "reset_delay", True))
    model = snntorch_neuron(kind, mechanism, reset_delay, one_to_one)
    values = {f: getattr(snn_cell, NAMES[f]) for f in model.params._fields if f != "gain"}
    if kind == "Lapicque":
        values |= _circuit(snn_cell)
    weight = linear.weight
    both: list[Tensor | None] = [linear.bias, getattr(recurrent, "bias", None)]
    biases = [b for b in both if b is not None and (b.requires_grad or b.any())]
    constants = {
        field: replace(constant, trainable=values[field].requires_grad)
        for field, constant in model.constants.items()
    }
    layer = SpikingRNN(
        replace(model, constants=constants), linear.in_features, hidden, bias=bool(biases),
        recurrent=recurrent is not None, surrogate=surrogate_from_snntorch(snn_cell.spike_grad),
        engine=engine, device=weight.device, dtype=weight.dtype,
    )  # fmt: skip
    _fill(layer.weight_ih_l0, weight)
    if recurrent is not None:
        _fill(layer.get_parameter("weight_hh_l0"), recurrent.weight)
    if biases:
        bias = layer.get_parameter("bias_l0")
        _fill(bias, torch.stack([b.detach() for b in biases]).sum(0).to(bias.dtype))
        bias.requires_grad_(any(b.requires_grad for b in biases))
    for field, value in values.items():
        _fill_constant(getattr(layer, f"raw_{field}_l0"), value, NAMES.get(field, field))
    return layer


def layers_from_snntorch(modules: Sequence[nn.Module], engine: str = "auto") -> nn.ModuleList:
    """Convert Linear, cell, Linear, cell, ... (a list or nn.Sequential), one layer per pair.

    >>> import snntorch
    >>> net = nn.Sequential(
    ...     nn.Linear(3, 8), snntorch.Leaky(beta=0.9), nn.Linear(8, 2), snntorch.Leaky(beta=0.5)
    ... )
    >>> [layer.hidden_size for layer in layers_from_snntorch(net)]
    [8, 2]
    """
    check_type("modules", modules, list, tuple, nn.Module)
    modules = list(modules)
    if not modules or len(modules) % 2:
        raise UnsupportedError(
            "expected Linear, cell, Linear, cell, ...; got "
            f"{', '.join(map(_kind, modules)) or 'nothing'}"
        )
    pairs = zip(modules[::2], modules[1::2])
    return nn.ModuleList(
        from_snntorch(linear, cell, engine)  # type: ignore[arg-type]
        for linear, cell in pairs
    )


def _circuit(cell: Any) -> dict[str, Tensor]:
    """The decay and the input gain of a Lapicque, as it computes them at every step."""
    rate = 1 / (cell.R * cell.C)
    return {
        "alpha_mem": (1 - cell.time_step / (cell.R * cell.C)).detach(),
        "gain": (cell.R * rate * cell.time_step).detach(),
    }


def to_snntorch(layer: SpikingRNN, index: int = 0) -> tuple[nn.Linear, Any]:
    """Return the Linear and the cell that compute population `index` of a layer.

    The neurons of `snntorch_neuron` keep their numbers. The input gain of LIF goes into the
    weights: each row is multiplied by 1 - alpha_mem. For LIF, snnTorch cuts the gradient at the
    reset, and training beta does not change the weights. The bias is that of the Linear;
    `recurrent.bias` is zero and frozen. A surrogate that snnTorch lacks becomes a
    `custom_surrogate`.

    A sparse recurrence has weights of zero in the cell, which its training changes; a warning says
    so. Raises UnsupportedError for any other neuron.

    >>> linear, cell = to_snntorch(SpikingRNN("LIF", 3, 8))
    >>> cell.recurrent
    Linear(in_features=8, out_features=8, bias=True)
    """
    library = require("snntorch", "snntorch")
    check_type("layer", layer, SpikingRNN)
    check_weights(layer)
    for what, has in [
        ("feedback", layer.feedback),
        ("bidirectional layers", layer.bidirectional),
        ("skip connections", layer.skip),
        ("delays", layer.delayed),
        ("experts", layer.experts > 1),
    ]:
        if has:
            raise UnsupportedError(f"snnTorch has no {what}: its cells run one after the other")
    neuron, values = layer.neuron_of(index), layer.params(index)._asdict()
    matrix = f"weight_hh_l{index}"
    recurrent = existing_matrix(layer, matrix) if hasattr(layer, matrix) else None
    if synapses_of(layer, matrix) is not None:
        warnings.warn(
            "the cell has a weight of zero for each synapse that the layer lacks, and trains it",
            stacklevel=2,
        )
    kind, mechanism, reset_delay = _cell_of(neuron, recurrent is not None)
    gain = 1 - values["alpha_mem"].detach() if neuron.step is LIF.step else None
    w_in = getattr(layer, f"weight_ih_l{index}")
    bias = getattr(layer, f"bias_l{index}") if layer.bias else None
    linear = nn.Linear(
        w_in.shape[1], w_in.shape[0], bias is not None, device=w_in.device, dtype=w_in.dtype
    )
    _fill(linear.weight, w_in, gain)
    if bias is not None:
        _fill(linear.bias, bias, gain)
    raw = {f: getattr(layer, f"raw_{c.symbol}_l{index}") for f, c in neuron.constants.items()}
    learned = {field: value.requires_grad for field, value in raw.items()}
    settings: dict[str, Any] = {
        "spike_grad": surrogate_to_snntorch(layer.surrogates[index]),
        "reset_mechanism": mechanism,
    }
    if kind != "Alpha":  # which has no other
        settings["reset_delay"] = reset_delay
    for field, value in values.items():
        settings[NAMES[field]] = value.detach().clone()
        if field != "w_self":
            settings[f"learn_{NAMES[field]}"] = learned[field]
    if recurrent is not None:
        settings["linear_features"] = len(recurrent)
    elif kind in RECURRENT:
        settings |= {"all_to_all": False, "learn_recurrent": learned["w_self"]}
    cell: Any = getattr(library, kind)(**settings).to(w_in.device)
    if recurrent is not None:
        cell.recurrent.to(w_in.dtype)
        _fill(cell.recurrent.weight, recurrent, gain)
        with torch.no_grad():
            cell.recurrent.bias.zero_().requires_grad_(False)
    return linear, cell


def _cell_of(neuron: NeuronModel, connected: bool) -> tuple[Cell, str, bool]:
    """Return the cell, reset_mechanism and reset_delay that compute a neuron."""
    step: Any = neuron.step
    if step is LIF.step:
        return "RLeaky" if connected else "Leaky", "subtract", True
    for (kind, mechanism, delay), one_to_one in product(RESETS, (False, True)):
        recurrent = connected + one_to_one
        if kind not in ONE_WAY and recurrent == (kind in RECURRENT):
            own: Any = snntorch_neuron(kind, mechanism, delay, one_to_one).step
            if isinstance(step, partial) and (own.func, own.keywords) == (step.func, step.keywords):
                return kind, mechanism, delay
    raise UnsupportedError(
        f"to_snntorch makes no cell that computes {neuron.name} with recurrent={connected}; it "
        f"makes those of LIF and of snntorch_neuron, but no {' or '.join(ONE_WAY)}"
    )


def _mechanism(cell: Any, kind: str) -> str:
    """The reset that a cell carries out, which is chosen as it is made.

    UnsupportedError if it was told of another since, which snnTorch does not heed.
    """
    mechanism: str = cell.reset_mechanism
    if cell.state_function.__name__ != METHODS[mechanism]:
        raise UnsupportedError(
            f"{kind} says reset_mechanism={mechanism!r}, which was set after it was made, and "
            f"carries out another one; make it with this one"
        )
    return mechanism


def _refuse_settings(cell: Any, kind: str) -> None:
    """Raise UnsupportedError for settings of a cell that have no equal here."""
    factor = cell.graded_spikes_factor
    present = {
        "surrogate_disable": cell.surrogate_disable,
        "inhibition": cell.inhibition,
        "state_quant": cell.state_quant,
        "graded_spikes_factor": isinstance(factor, nn.Parameter) or bool((factor != 1).any()),
        "kernel_size": kind in RECURRENT and cell.kernel_size is not None,
        "reset_delay=False": kind == "RSynaptic" and not cell.reset_delay,
        "threshold": bool((cell.threshold <= 0).any()),
        "learn_beta": kind == "Lapicque" and cell.beta.requires_grad,
        "time_step > R C": kind == "Lapicque" and bool((_circuit(cell)["alpha_mem"] < 0).any()),
        "reset_mechanism='subtract'": kind == "Alpha" and cell.reset_mechanism == "subtract",
    }
    for setting, reason in REFUSED.items():
        if present[setting]:
            raise UnsupportedError(f"{kind} with {setting} has no equal here: {reason}")


def _fill_constant(target: Tensor, value: Tensor, name: str) -> None:
    """Fill a constant (H,); a learned value must already have one number per neuron."""
    if value.numel() != 1 and value.shape != target.shape:
        raise UnsupportedError(
            f"{name} of shape {tuple(value.shape)}: expected one number, or {len(target)}"
        )
    if value.requires_grad and value.shape != target.shape:
        setting = "learn_recurrent" if name == "V" else f"learn_{name}"
        raise UnsupportedError(
            f"{setting} with one {name} for all neurons: here each neuron trains its own; pass "
            f"{name}=torch.full(({len(target)},), {value.item():g}), or do not learn it"
        )
    with torch.no_grad():
        target.copy_(value.to(target.dtype).expand_as(target))


def _fill(target: Tensor, source: Tensor, gain: Tensor | None = None) -> None:
    """Copy a weight (to, from) or bias (to,), times the gain of each target, and requires_grad."""
    with torch.no_grad():
        rows = 1.0 if gain is None else gain.view(-1, *[1] * (source.ndim - 1))
        target.copy_(source * rows)
    target.requires_grad_(source.requires_grad)


def _kind(value: object) -> str:
    return type(value).__name__
