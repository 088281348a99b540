"""Recurrent spiking layers, in the conventions of torch.nn.LSTM."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from spikern._utils.choices import check_choice
from spikern._utils.errors import InputError
from spikern.engines import fused
from spikern.engines.dispatch import ENGINES, run_stack
from spikern.engines.population import (
    Bundle,
    Input,
    Population,
    RunResult,
    dense,
    existing_weights,
    merge,
    merge_states,
    split_result,
)
from spikern.layers import connectivity, init, layout
from spikern.layers.checks import check_input, check_lengths, check_state
from spikern.layers.connectivity import check_between, check_delays
from spikern.layers.delays import Axons, Delay, LearnedDelay, run_late, with_line
from spikern.layers.layout import Given
from spikern.neurons import NEURONS
from spikern.neurons.li import LI
from spikern.neurons.model import NeuronModel, Params, State
from spikern.neurons.surrogate import SURROGATES, Surrogate

TYPICAL_RATE = 0.05
"""Spikes per neuron and step that the initial weights are made for."""
INPUT_DRIVE = 1.1
RECURRENT_DRIVE = 0.1
"""Of the recurrence; of the feedback from the layer above as well."""
BIAS_DRIVE = 0.8
"""Standard deviation that input, recurrence and bias each give, in distances to threshold."""


class Weights(nn.Module):
    """The parameters of a SpikingRNN, which see, and the populations that they make.

    Population `name` ("l0", with `bidirectional` also "l0_reverse") has weight_ih_<name>,
    weight_hh_<name>, weight_fb_<name>, weight_sk_<name>, bias_<name>, and raw_<symbol>_<name> for
    every constant; delay_ih_<name> and delay_hh_<name> are its axons where they take time.
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
        dropout: float = 0.0,
        bidirectional: bool = False,
        recurrent: bool | str | float | Tensor = True,
        feedback: bool | float = False,
        skip: bool = False,
        delay: int = 0,
        recurrent_delay: int = 1,
        learn_delays: bool = False,
        dt: float = 1.0,
        surrogate: str | Surrogate = "triangular",
        engine: str = "auto",
        input_power: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for what, size in [
            ("input_size", input_size),
            ("hidden_size", hidden_size),
            ("num_layers", num_layers),
        ]:
            if size < 1:
                raise InputError(f"{what} must be at least 1, got {size}")
        for what, number in [("dt", dt), ("input_power", input_power)]:
            if not number > 0:
                raise InputError(f"{what} must be above 0, got {number}")
        if isinstance(neuron, str):
            check_choice("neuron", neuron, NEURONS)
            neuron = NEURONS[neuron]
        if isinstance(surrogate, str):
            check_choice("surrogate", surrogate, SURROGATES)
            surrogate = SURROGATES[surrogate]()
        check_choice("engine", engine, ("auto", *ENGINES))
        pattern = connectivity.recurrence("recurrent", recurrent, hidden_size)
        above = connectivity.recurrence("feedback", feedback, hidden_size)
        for title, wanted in [("recurrent", pattern.recurrent), ("fed back", above.recurrent)]:
            if wanted and not neuron.spikes:
                raise InputError(f"{neuron.name} never fires, so it cannot be {title}")
        check_between(num_layers, dropout, bidirectional, above.recurrent, skip)
        check_delays(
            delay, recurrent_delay, learn_delays, pattern.recurrent, above.recurrent, bidirectional
        )
        self.neuron = neuron
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = dropout
        self.bidirectional = bidirectional
        self.recurrent = pattern.recurrent
        self.connectivity = pattern.title
        self.feedback = above.recurrent
        self.feedback_connectivity = above.title
        self.skip = skip
        self.delay = delay
        self.recurrent_delay = recurrent_delay
        self.learn_delays = learn_delays
        self.dt = dt
        self.surrogate = surrogate
        self.engine_asked = engine
        self.input_power = input_power
        make = partial(torch.empty, device=device, dtype=dtype)
        fan_in = input_size
        for index, name in enumerate(self.names):
            if index == self.directions:
                fan_in = self.output_size
            self._add(f"weight_ih_{name}", make(hidden_size, fan_in))
            if skip and index >= self.directions:
                beyond = input_size if index < 2 * self.directions else fan_in
                self._add(f"weight_sk_{name}", make(hidden_size, beyond))
            if self.recurrent:
                self._add_synapses(f"hh_{name}", make(hidden_size, hidden_size), pattern)
            if self.feedback and index < num_layers - 1:
                self._add_synapses(f"fb_{name}", make(hidden_size, hidden_size), above)
            if bias:
                self._add(f"bias_{name}", make(hidden_size))
            for constant in neuron.constants.values():
                raw = make(hidden_size)
                self._add(f"raw_{constant.symbol}_{name}", raw, constant.trainable)
            if delay:
                width = sum(w.shape[1] for w in self._hears(name))
                self.add_module(f"delay_ih_{name}", self._axons(width, 0, delay))
            if recurrent_delay > 1:
                own = self._axons(hidden_size, 1, recurrent_delay)
                self.add_module(f"delay_hh_{name}", own)
        self.reset_parameters()

    @property
    def directions(self) -> int:
        """Populations of a layer: one, or one forward and one backward in time."""
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """Values that a layer gives at a step: neurons of all its directions."""
        return self.directions * self.hidden_size

    @property
    def names(self) -> list[str]:
        """The populations in the order of the state, named as torch names the layers' weights."""
        sides = ("", "_reverse")[: self.directions]
        return [f"l{k}{side}" for k in range(self.num_layers) for side in sides]

    def _add(self, name: str, value: Tensor, trainable: bool = True) -> None:
        if trainable:
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)

    def _add_synapses(self, name: str, weight: Tensor, pattern: connectivity.Recurrence) -> None:
        self._add(f"weight_{name}", weight)
        links = connectivity.links(pattern, self.hidden_size)
        self.register_buffer(f"links_{name}", None if links is None else links.to(weight.device))

    def _axons(self, channels: int, shortest: int, longest: int) -> Axons:
        like = self.weight_ih_l0
        if self.learn_delays:
            return LearnedDelay(channels, longest, shortest, device=like.device, dtype=like.dtype)
        return Delay(torch.randint(shortest, longest + 1, (channels,), device=like.device))

    def _hears(self, name: str) -> list[Tensor]:
        """The weights of what a population hears from below: the layer there, the one below it."""
        weights = (getattr(self, f"weight_{kind}_{name}", None) for kind in ("ih", "sk"))
        return [weight for weight in weights if weight is not None]

    def reset_parameters(self) -> None:
        """Draw constants and weights so that a fresh layer fires at a few per cent.

        On the meta device there is nothing to draw.
        """
        if self.weight_ih_l0.is_meta:
            return
        for index, name in enumerate(self.names):
            with torch.no_grad():
                for constant in self.neuron.constants.values():
                    raw = getattr(self, f"raw_{constant.symbol}_{name}")
                    raw.copy_(constant.draw(self.hidden_size))
            response = init.impulse_response(self.neuron, self.params(index))
            heard = self._hears(name)
            for weight, below in zip(heard, (1, 2)):
                outside = index < below * self.directions
                power = self.input_power if outside else TYPICAL_RATE
                init.drive(weight, response, power, INPUT_DRIVE / len(heard) ** 0.5)
            for kind in ("ih", "hh"):
                axons = getattr(self, f"delay_{kind}_{name}", None)
                if isinstance(axons, LearnedDelay):
                    axons.reset_parameters()
            if self.bias:
                spread = BIAS_DRIVE if self.neuron.spikes else 0.0
                init.excite(getattr(self, f"bias_{name}"), response, spread)
            for kind in ("hh", "fb"):
                synapses = getattr(self, f"weight_{kind}_{name}", None)
                if synapses is not None:
                    init.drive(synapses, response, TYPICAL_RATE, RECURRENT_DRIVE)
                    links = getattr(self, f"links_{kind}_{name}")
                    if links is not None:
                        connectivity.thin(synapses, links)

    def params(self, index: int) -> Params:
        """The constants that a population's equation reads, each (H,), with their gradients."""
        name = self.names[index]
        return self.neuron.params(
            **{
                field: constant.field(getattr(self, f"raw_{constant.symbol}_{name}"), self.dt)
                for field, constant in self.neuron.constants.items()
            }
        )

    @property
    def engine(self) -> str:
        """The engine that runs: the one asked for, or what "auto" chooses.

        "auto" is fused for float32 on the CPU and a neuron whose kernels can be derived, else
        reference; also where a recurrence takes several steps, which kernels run a few at a time.
        """
        if self.engine_asked != "auto":
            return self.engine_asked
        weight = self.weight_ih_l0
        fits = weight.device.type == "cpu" and weight.dtype == torch.float32
        fits = fits and self.recurrent_delay == 1
        return "fused" if fits and fused.supports(self.neuron, self.surrogate) else "reference"

    def populations(self) -> list[Population]:
        """What the engines run: one population a layer and direction; with feedback one in all."""
        single = [self._population(index, name) for index, name in enumerate(self.names)]
        if not self.feedback:
            return single
        bundles = [
            Bundle(getattr(self, f"weight_fb_{name}"), getattr(self, f"links_fb_{name}"))
            for name in self.names[:-1]
        ]
        return [merge(single, bundles)]

    def _population(self, index: int, name: str) -> Population:
        """One population; a recurrence that takes several steps is an input like others."""
        heard = self._hears(name)
        weight = getattr(self, f"weight_hh_{name}") if self.recurrent else None
        links = getattr(self, f"links_hh_{name}") if self.recurrent else None
        if weight is not None and self.recurrent_delay > 1:
            heard, weight, links = [*heard, existing_weights(weight, links)], None, None
        return Population(
            self.neuron,
            self.surrogate,
            self.params(index),
            heard[0] if len(heard) == 1 else torch.cat(heard, 1),
            getattr(self, f"bias_{name}") if self.bias else None,
            weight,
            links,
        )

    def extra_repr(self) -> str:
        """The settings, the chosen engine among them."""
        return (
            f"{self.neuron.name}, {self.input_size}, {self.hidden_size}, "
            f"num_layers={self.num_layers}, bias={self.bias}, batch_first={self.batch_first}, "
            + (f"dropout={self.dropout}, " if self.dropout else "")
            + ("bidirectional=True, " if self.bidirectional else "")
            + f"recurrent={self.connectivity}, "
            + (f"feedback={self.feedback_connectivity}, " if self.feedback else "")
            + ("skip=True, " if self.skip else "")
            + (f"delay={self.delay}, " if self.delay else "")
            + (f"recurrent_delay={self.recurrent_delay}, " if self.recurrent_delay > 1 else "")
            + ("learn_delays=True, " if self.learn_delays else "")
            + f"dt={self.dt}, surrogate={self.surrogate.name}, "
            f"engine={self.engine}{' (auto)' if self.engine_asked == 'auto' else ''}"
        )


class SpikingRNN(Weights):
    """A stack of recurrent populations of one kind of neuron.

    Layer l at step t:   i = weight_ih x_t + bias + weight_hh z_{t-1};   state, z = step(i)

    x is (T, B, F), (B, T, F) with batch_first, (T, F), or a PackedSequence.
    `out, state = layer(x, state, lengths)` gives the last layer's spikes in the layout of x and
    the state after each sample's last step, each field (L, B, H), or (L, H) for x (T, F).
    `state=None` is the zero state; a plain tuple is read in the order of the state's fields.
    `lengths` (B,) are the valid steps. An input of events may be given as `Events`.

    `recurrent` says which neurons of a layer hear each other: True all, False none, "diagonal" each
    itself alone, a number between 0 and 1 that share of all pairs, drawn at random, a mask (H, H)
    as (to, from) those where it is not zero. Synapses that do not exist are kept out of the kernels
    too; their weights are zero and stay so.

    `feedback`, said the same way, lets each layer hear the one above it through weight_fb_l<k>.
    Then every connection between neurons takes one step, that to the layer above as well, and all
    layers are run as one population. `skip` lets each layer but the first also hear what the layer
    below it hears: the layer two below, or the input, through weight_sk_l<k>.

    `delay` is the longest axon into a layer, in whole steps: what a layer hears from below arrives
    0 to `delay` steps late, each channel with a delay of its own, `delay_ih_l<k>`. By
    `recurrent_delay` its own spikes arrive 1 to so many steps later, by `delay_hh_l<k>`. They are
    drawn evenly, as a `Delay`; with `learn_delays` each is a `LearnedDelay`. The state then has one
    field more, `line` (D, B, A), or (D, A): what is under way on all axons.

    `dropout` is that of torch.nn.LSTM: while training, each output of all layers but the last is
    zero with this probability, else divided by 1 - dropout. `bidirectional` adds to each layer a
    population that runs from the last valid step to the first, its weights named `_reverse`; the
    output is (T, B, 2 H), the state (2 L, B, H).

    Constants are those of the neuron, one a neuron, trained in the raw form `raw_<symbol>_l<k>`;
    time constants are in ms, as is `dt`. `input_power`, the mean square of one input (1 for
    standardised values, the rate for events), scales the initial weights.

    Raises InputError on a wrong shape, dtype, NaN, state or name.

    >>> layer = SpikingRNN("ALIF", input_size=3, hidden_size=8)
    >>> out, state = layer(torch.randn(20, 4, 3))
    >>> out.shape, state.v.shape
    (torch.Size([20, 4, 8]), torch.Size([1, 4, 8]))
    """

    @property
    def drops(self) -> bool:
        """Whether dropout is at work between layers now."""
        return self.training and self.dropout > 0 and self.num_layers > 1

    @property
    def chains(self) -> bool:
        """Whether each population hears just the one before it, in the same step, and only spikes.

        Then populations above can run with it as one stack.
        """
        return not (self.feedback or self.bidirectional or self.skip or self.late or self.drops)

    @property
    def late(self) -> bool:
        """Whether axons take several steps, so that the state has a line."""
        return self.delay > 0 or self.recurrent_delay > 1

    @property
    def spreads(self) -> bool:
        """Whether learned delays spread spikes over steps now."""
        return self.training and self.learn_delays

    @property
    def lines(self) -> list[int]:
        """How many axons each population has that take several steps: those to it, its own."""
        own = self.hidden_size if self.recurrent_delay > 1 else 0
        below = (sum(w.shape[1] for w in self._hears(name)) for name in self.names)
        return [(heard if self.delay else 0) + own for heard in below]

    def _form(self, *batch: int) -> tuple[Any, tuple[int, ...], dict[str, tuple[int, ...]]]:
        """The type of the state, the shape of its fields, and that of the line if it has one."""
        shape = (len(self.names), *batch, self.hidden_size)
        kind: Any = self.neuron.state
        if not self.late:
            return kind, shape, {}
        longest = max(self.delay, self.recurrent_delay if self.recurrent_delay > 1 else 0)
        return with_line(kind), shape, {"line": (longest, *batch, sum(self.lines))}

    def zero_state(self, batch: int) -> State:
        """The state before the first step, each field (L, B, H); L counts both directions."""
        kind, shape, line = self._form(batch)
        shapes = {name: shape for name in kind._fields} | line
        return kind(**{name: self.weight_ih_l0.new_zeros(s) for name, s in shapes.items()})

    def start(self, x: Input, state: State, lengths: Tensor | None) -> list[State]:
        """The state of every population before the first step; checks all that comes from outside.

        Populations are those of `names`. What is under way is not of a population: see `run`.
        """
        return self._start(x, state, lengths)[0]

    def _start(
        self, x: Input, state: State, lengths: Tensor | None
    ) -> tuple[list[State], Tensor | None]:
        """The states before the first step, and the line."""
        check_input(x, self.input_size, self.weight_ih_l0.dtype)
        steps, batch, _ = x.shape
        if lengths is not None:
            check_lengths(lengths, steps, batch)
        if state is None:
            state = self.zero_state(batch)
        kind, shape, line = self._form(batch)
        state = check_state(state, kind, shape, self.weight_ih_l0.dtype, **line)
        neurons = state[: len(self.neuron.state._fields)]
        states = [self.neuron.state(*fields) for fields in zip(*neurons)]
        return states, state.line if line else None

    def stacked(self, states: list[State]) -> State:
        """The states of all populations as one, each field (L, B, H)."""
        return self.neuron.state(*(torch.stack(fields) for fields in zip(*states)))

    def after(self, made: RunResult) -> State:
        """The state of the layers after a run: that of all populations, and what is under way."""
        state, kind = self.stacked(made.states), self._form()[0]
        return state if made.delay_buffer is None else kind(*state, made.delay_buffer)

    def unroll(
        self, x: Input, state: State = None, lengths: Tensor | None = None
    ) -> tuple[list[Tensor], State]:
        """The outputs of every layer, each (T, B, H), and the final state, for x (T, B, F)."""
        outputs, made = self._each(x, *self._start(x, state, lengths), lengths)
        return outputs, self.after(made)

    def run(self, x: Input, state: State = None, lengths: Tensor | None = None) -> RunResult:
        """All layers at once on x (T, B, F): the last one's output, states, spikes by neuron."""
        states, line = self._start(x, state, lengths)
        if self.chains:
            return run_stack(self.engine, self.populations(), states, x, lengths)
        return self._each(x, states, line, lengths)[1]

    def _each(
        self, x: Input, states: list[State], line: Tensor | None, lengths: Tensor | None
    ) -> tuple[list[Tensor], RunResult]:
        """The output of every layer, and what all of them did."""
        if self.feedback:
            return self._together(x, states, lengths)
        return self._one_by_one(x, states, line, lengths)

    def _together(
        self, x: Input, states: list[State], lengths: Tensor | None
    ) -> tuple[list[Tensor], RunResult]:
        """The output of every layer of a network with feedback, and what it did."""
        whole = [merge_states(states)]
        made = run_stack(self.engine, self.populations(), whole, x, lengths)
        return split_result(made, self.num_layers)

    def _one_by_one(
        self, x: Input, states: list[State], line: Tensor | None, lengths: Tensor | None
    ) -> tuple[list[Tensor], RunResult]:
        """The output of every layer, run for itself, and what all of them did."""
        outputs: list[Tensor] = []
        mades: list[RunResult] = []
        heard = [x]
        lines = [None] * len(states) if line is None else torch.split(line, self.lines, 2)
        each = iter(zip(self.names, self.populations(), states, lines))
        for layer in range(self.num_layers):
            x = heard[-1]
            if self.skip and layer:
                x = torch.cat([dense(part) for part in heard[:-3:-1]], 2)
            sides = []
            for direction in range(self.directions):
                name, population, before, axons = next(each)
                given = layout.reversed_in_time(x, lengths) if direction else x
                made = self._one(name, population, before, given, lengths, axons)
                out = made.out
                sides.append(layout.reversed_in_time(out, lengths) if direction else out)
                mades.append(made)
            outputs.append(torch.cat(sides, -1) if self.bidirectional else sides[0])
            heard.append(outputs[-1])
            if self.drops and layer < self.num_layers - 1:
                heard[-1] = functional.dropout(outputs[-1], self.dropout)
        ends = [made.delay_buffer for made in mades if made.delay_buffer is not None]
        return outputs, RunResult(
            outputs[-1],
            [state for made in mades for state in made.states],
            [total for made in mades for total in made.spikes],
            torch.cat(ends, 2) if ends else None,
        )

    def _one(
        self,
        name: str,
        population: Population,
        state: State,
        x: Input,
        lengths: Tensor | None,
        line: Tensor | None,
    ) -> RunResult:
        """One population, with what is under way on its axons if they take time."""
        if line is None:
            return run_stack(self.engine, [population], [state], x, lengths)
        below, own = (getattr(self, f"delay_{kind}_{name}", None) for kind in ("ih", "hh"))
        return run_late(self.engine, population, state, dense(x), lengths, line, below, own)

    def forward(
        self, x: Given, state: State = None, lengths: Tensor | None = None
    ) -> tuple[Any, State]:
        """The last layer's output in the layout of x, and the final state."""
        batched, until = layout.time_first(x, lengths, self.batch_first)
        single = layout.is_single(x)
        if single and state is not None:
            kind, shape, line = self._form()
            state = check_state(state, kind, shape, self.weight_ih_l0.dtype, **line)
            state = kind(*(field.unsqueeze(1) for field in state))
        made = self.run(batched, state, until)
        after = self.after(made)
        if single:
            after = type(after)(*(field.squeeze(1) for field in after))
        return layout.as_given(made.out, x, self.batch_first), after


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
