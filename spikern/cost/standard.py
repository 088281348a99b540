"""Counts of torch.nn.RNN, GRU, LSTM and Linear: every layer, both directions, projections."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from spikern.cost.counts import Layer, Storage, analog_layer
from spikern.cost.routing import awake_groups, with_router
from spikern.cost.synapses import Signal, connect, counted
from spikern.layers.banked import Banked

GATES: dict[str, dict[str, int]] = {
    "RNN": {"tanh": 1},
    "GRU": {"add": 3, "mul": 3, "sigmoid": 2, "tanh": 1},
    "LSTM": {"add": 1, "mul": 3, "sigmoid": 3, "tanh": 2},
}
"""The arithmetic of one unit in one step beside its synapses.

RNN   tanh(s), or with nonlinearity="relu" one comparison
LSTM  c' = f*c + i*g (2 mul, 1 add); h' = o*tanh(c') (1 mul)
GRU   n = tanh(s_x + r*s_h) (1 mul, 1 add); h' = (1-z)*n + z*h (2 mul, 2 add)
"""
BIASES = {"RNN": 1, "GRU": 4, "LSTM": 4}
"""Accumulators of one unit that start from a bias; torch's two bias vectors share accumulators."""


def gates(module: nn.RNNBase | Banked) -> Mapping[str, int]:
    """The arithmetic of one unit in one step."""
    if getattr(module, "nonlinearity", "tanh") == "relu":
        return {"compare": 1}
    return GATES[module.mode.split("_")[0]]


def recurrent_layers(
    module: nn.RNNBase | Banked, x: Signal, valid: Tensor, prefix: str
) -> tuple[list[Layer], str]:
    """The layers of a standard network, one per direction, and the name of the last layer.

    Their state is analog, so everything but events that arrive at the first layer multiplies. Of
    banks only those count that the input wakes, once for all layers.
    """
    source = x.source
    kind = module.mode.split("_")[0]
    uses, size = counted(valid), module.hidden_size
    arithmetic = {op: tuple(n * size * u for u in uses) for op, n in gates(module).items()}
    storage = Storage(
        states=size if kind == "LSTM" else 0,
        biases=size * BIASES[kind] if module.bias else 0,
        outputs=module.proj_size or size,
    )
    banks = awake_groups(module.router, x, valid) if isinstance(module, Banked) else None
    layers = []
    for k in range(module.num_layers):
        for suffix in ("", "_reverse") if module.bidirectional else ("",):
            name = f"{prefix} {k}{suffix.replace('_', ' ')}"
            own = Signal(x.values, False, name)
            below = x if k == 0 else Signal(x.values, False, source)
            connections = [
                ("input", below, f"weight_ih_l{k}{suffix}"),
                ("recurrent", own, f"weight_hh_l{k}{suffix}"),
            ]
            if module.proj_size:
                connections.append(("projection", own, f"weight_hr_l{k}{suffix}"))
            connected = tuple(
                connect(
                    arriving, name, what, getattr(module, weight), valid,
                    banks if what == "recurrent" else None,
                )
                for what, arriving, weight in connections
            )  # fmt: skip
            layers.append(analog_layer(name, kind, size, connected, arithmetic, uses, storage))
        source = f"{prefix} {k}"
    if isinstance(module, Banked):
        layers[0] = with_router(layers[0], module.router, x, valid)
    return layers, source


def linear_layer(module: nn.Linear, x: Signal, valid: Tensor, name: str, kind: str) -> Layer:
    """A linear map at the steps of `valid` (T, B): spikes accumulate, other values multiply."""
    uses, size = counted(valid), module.out_features
    connected = (connect(x, name, kind, module.weight, valid),)
    storage = Storage(biases=0 if module.bias is None else size, outputs=size)
    return analog_layer(name, "linear", size, connected, {}, uses, storage)
