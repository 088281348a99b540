"""A network layer by layer, as a table."""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import Tensor, nn

from spikern._utils.display import columns, html_table
from spikern._utils.errors import InputError
from spikern.cost.counting import count
from spikern.cost.counts import Counts, Layer
from spikern.layers.arguments import Lengths
from spikern.layers.baseline import Baseline
from spikern.layers.network import Network, evaluating
from spikern.layers.rnn import SpikingRNN
from spikern.report.numbers import count as number
from spikern.report.numbers import percent

ACTIVITY = ("rate", "AC", "MAC", "updates")


@dataclass(frozen=True, repr=False)
class Summary:
    """A table of layers: text where it is printed, HTML in a notebook."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __repr__(self) -> str:
        return "\n".join([self.title, *columns([self.head, *self.rows])])

    def _repr_html_(self) -> str:
        return html_table(self.title, self.head, self.rows)


def summary(
    network: Network | SpikingRNN | Baseline,
    x: Tensor | None = None,
    lengths: Lengths | None = None,
    events: bool = False,
) -> Summary:
    """The layers of a network: shape of the output, parameters, synapses; on x, what they did.

    A SpikingRNN, a Readout or a Baseline alone has a table too. x (T, B, F), lengths and events are
    those of `spikern.count`; with them the table has the rate, accumulates (AC),
    multiply-accumulates (MAC) and neuron updates of one inference, means over the samples. Raises
    what `count` raises.

    >>> from spikern import build
    >>> summary(build("LIF", 3, 16, 2, recurrent=False))
    Network of 116 parameters, answer last
    layer     unit      output  parameters  synapses
    hidden 0   LIF  (T, B, 16)          80        48
    readout     LI   (T, B, 2)          36        32
    """
    ran = x is not None
    if not isinstance(network, Network | SpikingRNN | Baseline):
        raise InputError(
            f"expected a Network, a SpikingRNN, a Readout or a Baseline, got "
            f"{type(network).__name__}"
        )
    first = network.body if isinstance(network, Network) else network
    x = next(network.parameters()).new_zeros(1, 1, first.input_size) if x is None else x
    with evaluating(network):
        counts = count(network, x, lengths, events)
    head = ("layer", "unit", "output", "parameters", "synapses", *ACTIVITY * ran)
    rows = [
        (*_structure(layer, network), *(_activity(layer, counts) if ran else ()))
        for layer in counts.layers
    ]
    parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
    title = f"{type(network).__name__} of {parameters:,} parameters"
    if isinstance(network, Network):
        title += f", answer {network.answer}"
    return Summary(title, head, tuple(rows))


def _structure(layer: Layer, network: nn.Module) -> tuple[str, ...]:
    synapses = sum(c.synapses for c in layer.connections)
    order = "B, T" if getattr(network, "batch_first", False) else "T, B"
    size = f"({order}, {layer.units})" if layer.units else "-"
    return layer.name, layer.unit, size, f"{_parameters(layer, network):,}", f"{synapses:,}"


def _activity(layer: Layer, counts: Counts) -> tuple[str, ...]:
    ops, each = layer.ops, counts.inferences
    rate = "-" if layer.rate is None else percent(layer.rate, gap=" ")
    updates = sum(ops.updates.values())
    return rate, *(number(n / each) for n in (ops.ac, ops.mac, updates))


def _parameters(layer: Layer, network: nn.Module) -> int:
    """Trainable numbers of a layer; in the names of a stack's, l<k> is layer k, as in torch."""
    kind, *index = layer.name.split()
    part = network
    if isinstance(network, Network):
        part = network.readout if kind == "readout" else network.body
    stem = rf".*_l{'_'.join(index) or kind}"
    own = ".*" if layer.name == "readout" else rf"{stem}(_orig|_g|_v|\..*)?"
    named = part.named_parameters()
    return sum(p.numel() for name, p in named if p.requires_grad and re.fullmatch(own, name))
