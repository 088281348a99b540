"""Recurrent spiking layers, in the conventions of torch.nn.LSTM."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from spikern import init
from spikern.engines import boundary, fused, reference
from spikern.engines.stack import Input, Outcome, Population
from spikern.neurons import LI, NEURONS
from spikern.surrogate import SURROGATES, Surrogate
from spikern.types import InputError, NeuronModel, Params, State


class SpikingRNN(nn.Module):
    """A stack of recurrent populations of one kind of neuron.

    Layer l at step t:   i = weight_ih x_t + bias + weight_hh z_{t-1};   state, z = step(i)

    x is (T, B, F), (B, T, F) with batch_first, or (T, F). `out, state = layer(x, state, lengths)`
    gives the last layer's spikes in the layout of x and the state after each sample's last step,
    each field (L, B, H). `state=None` is the zero state; `lengths` (B,) are the valid steps.

    `recurrent` says which neurons of a layer hear each other: True all, False none, "diagonal" each
    itself alone, a number between 0 and 1 a random share of all pairs, a mask (H, H) as (to, from)
    those where it is not zero. Synapses that do not exist are kept out of the kernels too; their
    weights are zero and stay so. An input of events may be given as `Events`.

    Constants are those of the neuron, one a neuron, trained in the raw form `raw_<symbol>_l<k>`;
    time constants are in ms, as is `dt`. `input_power`, the mean square of one input (1 for
    standardised values, the rate for events), scales the initial weights.

    Raises InputError on a wrong shape, dtype, NaN, state or name.

    >>> layer = SpikingRNN("ALIF", input_size=3, hidden_size=8)
    >>> out, state = layer(torch.randn(20, 4, 3))
    >>> out.shape, state.v.shape
    (torch.Size([20, 4, 8]), torch.Size([1, 4, 8]))
    """

    weight_ih_l0: Tensor

    def __init__(
        self,
        neuron: str | NeuronModel,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        recurrent: bool | str | float | Tensor = True,
        dt: float = 1.0,
        surrogate: str | Surrogate = "triangular",
        engine: str = "auto",
        input_power: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, size in [
            ("input_size", input_size),
            ("hidden_size", hidden_size),
            ("num_layers", num_layers),
        ]:
            if size < 1:
                raise InputError(f"{name} must be at least 1, got {size}")
        for name, number in [("dt", dt), ("input_power", input_power)]:
            if not number > 0:
                raise InputError(f"{name} must be above 0, got {number}")
        if isinstance(neuron, str):
            boundary.check_choice("neuron", neuron, NEURONS)
            neuron = NEURONS[neuron]
        if isinstance(surrogate, str):
            boundary.check_choice("surrogate", surrogate, SURROGATES)
            surrogate = SURROGATES[surrogate]()
        boundary.check_choice("engine", engine, ("auto", *ENGINES))
        pattern = init.recurrence(recurrent, hidden_size)
        if pattern.recurrent and not neuron.spikes:
            raise InputError(f"{neuron.name} never fires, so it cannot be recurrent")
        self.neuron = neuron
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.recurrent = pattern.recurrent
        self.connectivity = pattern.title
        self.dt = dt
        self.surrogate = surrogate
        self.engine_asked = engine
        self.input_power = input_power
        make = partial(torch.empty, device=device, dtype=dtype)
        for k in range(num_layers):
            fan_in = input_size if k == 0 else hidden_size
            self._add(f"weight_ih_l{k}", make(hidden_size, fan_in))
            if self.recurrent:
                self._add(f"weight_hh_l{k}", make(hidden_size, hidden_size))
                links = init.links(pattern, hidden_size)
                self.register_buffer(f"links_hh_l{k}", None if links is None else links.to(device))
            if bias:
                self._add(f"bias_l{k}", make(hidden_size))
            for constant in neuron.constants.values():
                name = f"raw_{constant.symbol}_l{k}"
                self._add(name, make(hidden_size), constant.trainable)
        self.reset_parameters()

    def _add(self, name: str, value: Tensor, trainable: bool = True) -> None:
        if trainable:
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)

    def reset_parameters(self) -> None:
        """Draw constants and weights so that a fresh layer fires at a few per cent."""
        for k in range(self.num_layers):
            with torch.no_grad():
                for constant in self.neuron.constants.values():
                    raw = getattr(self, f"raw_{constant.symbol}_l{k}")
                    raw.copy_(constant.draw(self.hidden_size))
            response = init.impulse_response(self.neuron, self.params(k))
            power = self.input_power if k == 0 else TYPICAL_RATE
            init.drive(getattr(self, f"weight_ih_l{k}"), response, power, INPUT_DRIVE)
            if self.bias:
                spread = BIAS_DRIVE if self.neuron.spikes else 0.0
                init.excite(getattr(self, f"bias_l{k}"), response, spread)
            if self.recurrent:
                weight = getattr(self, f"weight_hh_l{k}")
                links = getattr(self, f"links_hh_l{k}")
                init.drive(weight, response, TYPICAL_RATE, RECURRENT_DRIVE)
                if links is not None:
                    init.thin(weight, links)

    def params(self, layer: int) -> Params:
        """The constants that the neuron's equation reads, each (H,), with their gradients."""
        return self.neuron.params(
            **{
                field: constant.field(getattr(self, f"raw_{constant.symbol}_l{layer}"), self.dt)
                for field, constant in self.neuron.constants.items()
            }
        )

    @property
    def engine(self) -> str:
        """The engine that runs: the one asked for, or what "auto" chooses.

        "auto" is fused for float32 on the CPU and a neuron whose kernels can be derived, else
        reference.
        """
        if self.engine_asked != "auto":
            return self.engine_asked
        weight = self.weight_ih_l0
        fits = weight.device.type == "cpu" and weight.dtype == torch.float32
        return "fused" if fits and fused.supports(self.neuron, self.surrogate) else "reference"

    def zero_state(self, batch: int) -> State:
        """The state before the first step, each field (L, B, H)."""
        like = self.weight_ih_l0
        return init.zero_state(self.neuron, (self.num_layers, batch, self.hidden_size), like)

    def populations(self) -> list[Population]:
        """What the engines run: one population a layer."""
        return [
            Population(
                self.neuron,
                self.surrogate,
                self.params(k),
                getattr(self, f"weight_ih_l{k}"),
                getattr(self, f"bias_l{k}") if self.bias else None,
                getattr(self, f"weight_hh_l{k}") if self.recurrent else None,
                getattr(self, f"links_hh_l{k}") if self.recurrent else None,
            )
            for k in range(self.num_layers)
        ]

    def start(self, x: Input, state: State, lengths: Tensor | None) -> list[State]:
        """The state of every layer before the first step; checks all that comes from outside."""
        boundary.check_input(x, self.input_size, self.weight_ih_l0.dtype)
        steps, batch, _ = x.shape
        if lengths is not None:
            boundary.check_lengths(lengths, steps, batch)
        if state is None:
            state = self.zero_state(batch)
        shape = (self.num_layers, batch, self.hidden_size)
        boundary.check_state(state, self.neuron.state, shape)
        return [self.neuron.state(*fields) for fields in zip(*state)]

    def stacked(self, states: list[State]) -> State:
        """The states of all layers as one, each field (L, B, H)."""
        return self.neuron.state(*(torch.stack(fields) for fields in zip(*states)))

    def unroll(
        self, x: Input, state: State = None, lengths: Tensor | None = None
    ) -> tuple[list[Tensor], State]:
        """The outputs of every layer, each (T, B, H), and the final state, for x (T, B, F)."""
        outputs: list[Tensor] = []
        finals: list[State] = []
        for population, before in zip(self.populations(), self.start(x, state, lengths)):
            arriving = outputs[-1] if outputs else x
            made = ENGINES[self.engine]([population], [before], arriving, lengths)
            outputs.append(made.out)
            finals += made.states
        return outputs, self.stacked(finals)

    def run(self, x: Input, state: State = None, lengths: Tensor | None = None) -> Outcome:
        """All layers at once on x (T, B, F): the last one's output, states, spikes by neuron."""
        states = self.start(x, state, lengths)
        return run_stack(self.engine, self.populations(), states, x, lengths)

    def forward(
        self, x: Input, state: State = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """The last layer's output in the layout of x, and the final state."""
        if isinstance(x, Tensor) and x.ndim == 2:
            whole = state and self.neuron.state(*(field.unsqueeze(1) for field in state))
            made = self.run(x.unsqueeze(1), whole, lengths)
            after = self.neuron.state(*(f.squeeze(1) for f in self.stacked(made.states)))
            return made.out.squeeze(1), after
        if isinstance(x, Tensor) and self.batch_first:
            made = self.run(x.transpose(0, 1), state, lengths)
            return made.out.transpose(0, 1), self.stacked(made.states)
        made = self.run(x, state, lengths)
        return made.out, self.stacked(made.states)

    def extra_repr(self) -> str:
        """The settings, the chosen engine among them."""
        return (
            f"{self.neuron.name}, {self.input_size}, {self.hidden_size}, "
            f"num_layers={self.num_layers}, bias={self.bias}, batch_first={self.batch_first}, "
            f"recurrent={self.connectivity}, dt={self.dt}, surrogate={self.surrogate.name}, "
            f"engine={self.engine}{' (auto)' if self.engine_asked == 'auto' else ''}"
        )


class Readout(SpikingRNN):
    """Leaky integrators that read spikes out: `v, state = readout(z, state, lengths)`.

    >>> v, state = Readout(8, 3)(torch.zeros(20, 4, 8))
    >>> v.shape
    torch.Size([20, 4, 3])
    """

    def __init__(
        self, input_size: int, output_size: int, neuron: NeuronModel = LI, **settings: Any
    ) -> None:
        settings = {"recurrent": False, "input_power": TYPICAL_RATE} | settings
        super().__init__(neuron, input_size, output_size, **settings)


def run_stack(
    engine: str,
    populations: list[Population],
    states: list[State],
    x: Input,
    lengths: Tensor | None = None,
) -> Outcome:
    """Populations one above the other on an engine; those that do not fire are run by themselves.

    x (T, B, F), lengths (B,); see `Population` and `Outcome`.
    """
    first, arriving = 0, x
    finals: list[State] = []
    spikes: list[Tensor] = []
    for last, population in enumerate(populations):
        if population.model.spikes and last < len(populations) - 1:
            continue
        part = slice(first, last + 1)
        made = ENGINES[engine](populations[part], states[part], arriving, lengths)
        arriving = made.out
        finals += made.states
        spikes += made.spikes
        first = last + 1
    return Outcome(made.out, finals, spikes)


ENGINES = {"fused": fused.run_stack, "reference": reference.run_stack}
TYPICAL_RATE = 0.05
"""Spikes per neuron and step that the initial weights are made for."""
INPUT_DRIVE = 1.1
RECURRENT_DRIVE = 0.1
BIAS_DRIVE = 0.8
"""Standard deviation that input, recurrence and bias each give, in distances to threshold."""
