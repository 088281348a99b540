"""Recurrent spiking layers, in the conventions of torch.nn.LSTM."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from spikern.engines import boundary, feedback
from spikern.engines.stack import Input, Outcome, Population, dense
from spikern.layers import layout
from spikern.layers.late import run_late
from spikern.layers.layout import Given
from spikern.layers.line import with_line
from spikern.layers.stacks import run_stack
from spikern.layers.weights import TYPICAL_RATE, Weights
from spikern.neurons import LI
from spikern.types import NeuronModel, State


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
        boundary.check_input(x, self.input_size, self.weight_ih_l0.dtype)
        steps, batch, _ = x.shape
        if lengths is not None:
            boundary.check_lengths(lengths, steps, batch)
        if state is None:
            state = self.zero_state(batch)
        kind, shape, line = self._form(batch)
        state = boundary.check_state(state, kind, shape, self.weight_ih_l0.dtype, **line)
        neurons = state[: len(self.neuron.state._fields)]
        states = [self.neuron.state(*fields) for fields in zip(*neurons)]
        return states, state.line if line else None

    def stacked(self, states: list[State]) -> State:
        """The states of all populations as one, each field (L, B, H)."""
        return self.neuron.state(*(torch.stack(fields) for fields in zip(*states)))

    def after(self, made: Outcome) -> State:
        """The state of the layers after a run: that of all populations, and what is under way."""
        state, kind = self.stacked(made.states), self._form()[0]
        return state if made.line is None else kind(*state, made.line)

    def unroll(
        self, x: Input, state: State = None, lengths: Tensor | None = None
    ) -> tuple[list[Tensor], State]:
        """The outputs of every layer, each (T, B, H), and the final state, for x (T, B, F)."""
        outputs, made = self._each(x, *self._start(x, state, lengths), lengths)
        return outputs, self.after(made)

    def run(self, x: Input, state: State = None, lengths: Tensor | None = None) -> Outcome:
        """All layers at once on x (T, B, F): the last one's output, states, spikes by neuron."""
        states, line = self._start(x, state, lengths)
        if self.chains:
            return run_stack(self.engine, self.populations(), states, x, lengths)
        return self._each(x, states, line, lengths)[1]

    def _each(
        self, x: Input, states: list[State], line: Tensor | None, lengths: Tensor | None
    ) -> tuple[list[Tensor], Outcome]:
        """The output of every layer, and what all of them did."""
        if self.feedback:
            return self._together(x, states, lengths)
        return self._one_by_one(x, states, line, lengths)

    def _together(
        self, x: Input, states: list[State], lengths: Tensor | None
    ) -> tuple[list[Tensor], Outcome]:
        """The output of every layer of a network with feedback, and what it did."""
        whole = [feedback.together(states)]
        made = run_stack(self.engine, self.populations(), whole, x, lengths)
        return feedback.apart(made, self.num_layers)

    def _one_by_one(
        self, x: Input, states: list[State], line: Tensor | None, lengths: Tensor | None
    ) -> tuple[list[Tensor], Outcome]:
        """The output of every layer, run for itself, and what all of them did."""
        outputs: list[Tensor] = []
        mades: list[Outcome] = []
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
        ends = [made.line for made in mades if made.line is not None]
        return outputs, Outcome(
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
    ) -> Outcome:
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
            state = boundary.check_state(state, kind, shape, self.weight_ih_l0.dtype, **line)
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
