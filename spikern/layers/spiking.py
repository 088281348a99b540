"""Recurrent spiking layers, in the conventions of torch.nn.LSTM."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from spikern.engines import boundary, feedback
from spikern.engines.stack import Input, Outcome
from spikern.layers import layout
from spikern.layers.layout import Given
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
    layers are run as one population.

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
        return not (self.feedback or self.bidirectional or self.drops)

    def start(self, x: Input, state: State, lengths: Tensor | None) -> list[State]:
        """The state of every population before the first step; checks all that comes from outside.

        Populations are those of `names`.
        """
        boundary.check_input(x, self.input_size, self.weight_ih_l0.dtype)
        steps, batch, _ = x.shape
        if lengths is not None:
            boundary.check_lengths(lengths, steps, batch)
        if state is None:
            state = self.zero_state(batch)
        shape = (len(self.names), batch, self.hidden_size)
        state = boundary.check_state(state, self.neuron.state, shape, self.weight_ih_l0.dtype)
        return [self.neuron.state(*fields) for fields in zip(*state)]

    def stacked(self, states: list[State]) -> State:
        """The states of all populations as one, each field (L, B, H)."""
        return self.neuron.state(*(torch.stack(fields) for fields in zip(*states)))

    def unroll(
        self, x: Input, state: State = None, lengths: Tensor | None = None
    ) -> tuple[list[Tensor], State]:
        """The outputs of every layer, each (T, B, H), and the final state, for x (T, B, F)."""
        states = self.start(x, state, lengths)
        run = self._together if self.feedback else self._one_by_one
        outputs, made = run(x, states, lengths)
        return outputs, self.stacked(made.states)

    def run(self, x: Input, state: State = None, lengths: Tensor | None = None) -> Outcome:
        """All layers at once on x (T, B, F): the last one's output, states, spikes by neuron."""
        states = self.start(x, state, lengths)
        if self.chains:
            return run_stack(self.engine, self.populations(), states, x, lengths)
        run = self._together if self.feedback else self._one_by_one
        return run(x, states, lengths)[1]

    def _together(
        self, x: Input, states: list[State], lengths: Tensor | None
    ) -> tuple[list[Tensor], Outcome]:
        """The output of every layer of a network with feedback, and what it did."""
        whole = [feedback.together(states)]
        made = run_stack(self.engine, self.populations(), whole, x, lengths)
        return feedback.apart(made, self.num_layers)

    def _one_by_one(
        self, x: Input, states: list[State], lengths: Tensor | None
    ) -> tuple[list[Tensor], Outcome]:
        """The output of every layer, run for itself, and what all of them did."""
        outputs: list[Tensor] = []
        finals: list[State] = []
        spikes: list[Tensor] = []
        each = iter(zip(self.populations(), states))
        for layer in range(self.num_layers):
            sides = []
            for direction in range(self.directions):
                population, before = next(each)
                given = layout.reversed_in_time(x, lengths) if direction else x
                made = run_stack(self.engine, [population], [before], given, lengths)
                out = made.out
                sides.append(layout.reversed_in_time(out, lengths) if direction else out)
                finals += made.states
                spikes += made.spikes
            outputs.append(torch.cat(sides, -1) if self.bidirectional else sides[0])
            x = outputs[-1]
            if self.drops and layer < self.num_layers - 1:
                x = functional.dropout(x, self.dropout)
        return outputs, Outcome(outputs[-1], finals, spikes)

    def forward(
        self, x: Given, state: State = None, lengths: Tensor | None = None
    ) -> tuple[Any, State]:
        """The last layer's output in the layout of x, and the final state."""
        batched, until = layout.time_first(x, lengths, self.batch_first)
        single = layout.is_single(x)
        if single and state is not None:
            shape = (len(self.names), self.hidden_size)
            kind = self.neuron.state
            state = boundary.check_state(state, kind, shape, self.weight_ih_l0.dtype)
            state = kind(*(field.unsqueeze(1) for field in state))
        made = self.run(batched, state, until)
        after = self.stacked(made.states)
        if single:
            after = self.neuron.state(*(field.squeeze(1) for field in after))
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
