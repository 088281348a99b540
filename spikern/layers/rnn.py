"""Recurrent spiking layers, in the conventions of torch.nn.LSTM."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from spikern._utils.choices import check_choice
from spikern._utils.display import module_html
from spikern._utils.errors import InputError, UnsupportedError
from spikern._utils.numbers import check_counts
from spikern.engines import derivation, triton
from spikern.engines.dispatch import ENGINES, run_stack
from spikern.engines.experts import DECAYING, LEARNED, Router
from spikern.engines.population import (
    Bundle,
    Population,
    RunResult,
    existing_weights,
    last_values,
    merge,
    merge_states,
    split_result,
)
from spikern.engines.stream_loading import LARGEST_BUFFER
from spikern.events.trains import Input, dense
from spikern.layers import arguments, delays, init, states
from spikern.layers.connectivity import (
    Connectivity,
    check_layer_connections,
    connectivity_of,
    draw_synapses,
    keep_synapses,
    synapses_of,
)
from spikern.layers.per_layer import (
    PerLayer,
    check_names,
    check_one_kind,
    check_sizes,
    check_spikes,
    neuron_by_name,
    number_of_layers,
    per_layer,
    shared,
    surrogate_by_name,
)
from spikern.layers.routing import check_groups, draw_table
from spikern.neurons.li import LI
from spikern.neurons.model import NeuronModel, Params, State
from spikern.neurons.surrogate import Surrogate

TYPICAL_RATE = 0.05
"""Spikes per neuron and step for which the initial weights are made."""
INPUT_DRIVE = 1.1
"""Standard deviation that the input gives to u, in distances to threshold."""
RECURRENT_DRIVE = 0.1
"""The same for the recurrence, and for the feedback from the layer above."""
BIAS_DRIVE = 0.8
"""The same for the biases."""


class SpikingRNN(nn.Module):
    """A stack of recurrent populations, one per layer.

    Layer l at step t:   i = weight_ih x_t + bias + weight_hh z_{t-1};   state, z = step(i)

    x is (T, B, F), (B, T, F) with batch_first, (T, F), or a PackedSequence.
    `out, state = layer(x, state, lengths)` gives the last layer's spikes in the layout of x and
    the state after each sample's last step, each field (L, B, H), or (L, H) for x (T, F).
    `state=None` is the zero state; a plain tuple is read in the order of the state's fields.
    `lengths` (B,), a tensor, an array or a list, are the valid steps. An input of events may be
    given as `Events`.

    `neuron`, `hidden_size`, `surrogate` and `recurrent` are those of all layers, or lists with one
    entry per layer, whose length is then `num_layers`. Where layers differ in width or in the
    fields of their state, the state is a tuple of the states of the layers, each of which is that
    of a stack of this layer alone.

    `recurrent` says which neurons of a layer are connected: True connects all pairs, False none,
    "diagonal" each neuron with itself, a number between 0 and 1 that share of all pairs, drawn at
    random, and a mask (H, H) as (to, from) the pairs where it is not zero. Synapses that do not
    exist are left out of the kernels too, but not with `recurrent_delay`; their weights are zero
    and stay zero.

    `feedback`, which takes the same values (masks as (to, from), lists without the last layer),
    connects each layer to the one below it through weight_fb_l<k>, where k is the lower layer. Then
    every connection between neurons takes one step, also that to the layer above, and all layers
    run as one population, of one neuron and one surrogate. With `skip` each layer but the first
    also receives the input of the layer below it, that is, the output of the layer two below or the
    input x, through weight_sk_l<k>.

    `delay` is the longest delay of the axons into a layer, in whole steps: each channel of a
    layer's input arrives 0 to `delay` steps later, by a delay of its own in `delay_ih_l<k>`. With
    `recurrent_delay` its own spikes arrive 1 to `recurrent_delay` steps later, by `delay_hh_l<k>`.
    Delays are drawn uniformly, as a `Delay`; with `learn_delays` each is a `LearnedDelay`. The
    state then has one more field, `delay_buffer` (D, B, A), or (D, A): the last D values of all A
    axons.

    With `experts` the neurons of a layer are this many groups, of which the layer's input of a step
    wakes `awake`; the others are silent. With `sleep="frozen"` their state stands still and costs
    nothing, with "decaying" it takes steps without input. `routing` is "fixed", a balanced random
    table of the groups that an event of each feature wakes, or "learned", scores of the input that
    scale the current of the groups. Either is `weight_rt_l<k>` (E, F): a table is a buffer.

    `dropout` is that of torch.nn.LSTM: in training, each output of all layers but the last is
    zero with this probability, else divided by 1 - dropout. `bidirectional` adds to each layer a
    population that runs from the last valid step to the first, its weights named `_reverse`; the
    output is (T, B, 2 H), the state (2 L, B, H).

    The names of torch with l<k> are those of layer k: weight_ih_l<k>, weight_hh_l<k>, bias_l<k>.
    The neuron's constants are trained, one value per neuron, in the raw form `raw_<symbol>_l<k>`;
    time constants are in ms, as is `dt`. `input_power`, the mean square of one input (1 for
    standardised values, the rate for events), scales the initial weights.

    `engine` is "reference", "fused", "triton" or "auto". For float32 and a neuron whose kernels can
    be derived, auto is fused on the CPU, and triton on CUDA, which has no experts and no recurrence
    with delays; else it is reference.

    Raises InputError on a wrong shape, dtype, NaN, state or name.

    >>> layer = SpikingRNN("ALIF", input_size=3, hidden_size=8)
    >>> out, state = layer(torch.randn(20, 4, 3))
    >>> out.shape, state.v.shape
    (torch.Size([20, 4, 8]), torch.Size([1, 4, 8]))
    >>> out, state = SpikingRNN(["ALIF", "LIF"], 3, [8, 5])(torch.randn(20, 4, 3))
    >>> out.shape, state[0].a.shape, state[1].v.shape
    (torch.Size([20, 4, 5]), torch.Size([1, 4, 8]), torch.Size([1, 4, 5]))
    """

    weight_ih_l0: Tensor

    def __init__(
        self,
        neuron: PerLayer[str | NeuronModel],
        input_size: int,
        hidden_size: PerLayer[int],
        num_layers: int | None = None,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        recurrent: PerLayer[bool | str | float | Tensor] = True,
        feedback: PerLayer[bool | str | float | Tensor] = False,
        skip: bool = False,
        delay: int = 0,
        recurrent_delay: int = 1,
        learn_delays: bool = False,
        experts: int = 1,
        awake: int = 1,
        routing: str = "fixed",
        sleep: str = "frozen",
        dt: float = 1.0,
        surrogate: PerLayer[str | Surrogate] = "triangular",
        engine: str = "auto",
        input_power: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        num_layers = number_of_layers(
            num_layers,
            neuron=neuron,
            hidden_size=hidden_size,
            surrogate=surrogate,
            recurrent=recurrent,
        )
        check_sizes(dt, input_power, input_size=input_size, num_layers=num_layers)
        for width in per_layer(hidden_size, num_layers):
            check_counts(hidden_size=width)
        self.hidden_sizes: tuple[int, ...] = per_layer(hidden_size, num_layers, int)
        self.neurons: tuple[NeuronModel, ...] = per_layer(neuron, num_layers, neuron_by_name)
        self.surrogates: tuple[Surrogate, ...] = per_layer(surrogate, num_layers, surrogate_by_name)
        check_names(self.neurons, self.surrogates)
        check_choice("engine", engine, ("auto", *ENGINES))
        within = [
            connectivity_of("recurrent", value, (width, width))
            for value, width in zip(per_layer(recurrent, num_layers), self.hidden_sizes)
        ]
        pairs: list[tuple[int, ...]] = [*pairwise(self.hidden_sizes)] or [self.hidden_sizes * 2]
        fed_back = per_layer(feedback, len(pairs))
        if len(fed_back) != len(pairs):
            raise InputError(
                f"feedback must be one value, or one per layer but the last, {num_layers - 1}, got "
                f"{len(fed_back)}"
            )
        above = [connectivity_of("feedback", *each) for each in zip(fed_back, pairs)]
        self.recurrent = any(c.exists for c in within)
        self.feedback = any(c.exists for c in above)
        for model, connectivity in zip(self.neurons, within):
            check_spikes(model, connectivity.exists, self.feedback)
        check_layer_connections(num_layers, dropout, bidirectional, self.feedback, skip)
        if self.feedback:
            check_one_kind(self.neurons, self.surrogates)
        delays.check_delays(
            delay, recurrent_delay, learn_delays, self.recurrent, self.feedback, bidirectional
        )
        others = {
            "a neuron that never fires": not all(model.spikes for model in self.neurons),
            "delays": delay > 0 or recurrent_delay > 1,
            "feedback": self.feedback,
            "skip": skip,
            "bidirectional": bidirectional,
            "a recurrence of some synapses": any(not c.is_full for c in within),
        }
        check_groups(experts, awake, routing, sleep, self.hidden_sizes, others)
        self.input_size = int(input_size)
        self.num_layers = int(num_layers)
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = dropout
        self.bidirectional = bidirectional
        self.connectivity = shared(tuple(c.title for c in within))
        self.feedback_connectivity = shared(tuple(c.title for c in above))
        self.skip = skip
        self.delay = int(delay)
        self.recurrent_delay = int(recurrent_delay)
        self.learn_delays = learn_delays
        self.experts = int(experts)
        self.awake = int(awake)
        self.routing = routing
        self.sleep = sleep
        self.dt = dt
        self.engine_asked = engine
        self.input_power = input_power

        if self.delayed:
            for own in self.neurons:
                delays.delayed_state(own.state)

        self._allocate(within, above, partial(torch.empty, device=device, dtype=dtype))
        self._drawn: list[int] = []
        self._made_on_meta = self.weight_ih_l0.is_meta
        self.reset_parameters()

    def _allocate(
        self, within: Sequence[Connectivity], above: Sequence[Connectivity],
        empty: Callable[..., Tensor],
    ) -> None:  # fmt: skip
        """Register weights, constants and delays, which `reset_parameters` draws."""
        widths = [self.input_size, *(self.directions * hidden for hidden in self.hidden_sizes)]
        for index, name in enumerate(self.names):
            layer = index // self.directions
            hidden = self.hidden_sizes[layer]
            self._add(f"weight_ih_{name}", empty(hidden, widths[layer]))
            if self.skip and layer:
                self._add(f"weight_sk_{name}", empty(hidden, widths[layer - 1]))
            if within[layer].exists:
                self._add_synapses(f"hh_{name}", empty(hidden, hidden), within[layer])
            if layer < self.num_layers - 1 and above[layer].exists:
                pair = self.hidden_sizes[layer : layer + 2]
                self._add_synapses(f"fb_{name}", empty(pair), above[layer])
            if self.experts > 1:
                table = draw_table(self.experts, widths[layer], self.awake).to(empty(0))
                self._add(f"weight_rt_{name}", table, self.routing == LEARNED)
            if self.bias:
                self._add(f"bias_{name}", empty(hidden))
            for constant in self.neurons[layer].constants.values():
                raw = empty(hidden)
                self._add(f"raw_{constant.symbol}_{name}", raw, constant.trainable)
            axons = self.delayed_axons()[index]
            if (waiting := self._longest_delay * axons) > LARGEST_BUFFER:
                raise InputError(
                    f"delays of up to {self._longest_delay:,} steps on {axons:,} axons keep "
                    f"{waiting:,} values for every sample, more than {LARGEST_BUFFER:,}; give "
                    f"shorter ones"
                )
            if self.delay:
                below = self._axons(self._input_width(name), 0, self.delay)
                self.add_module(f"delay_ih_{name}", below)
            if self.recurrent_delay > 1 and within[layer].exists:
                own = self._axons(hidden, 1, self.recurrent_delay)
                self.add_module(f"delay_hh_{name}", own)

    def _add(self, name: str, value: Tensor, trainable: bool = True) -> None:
        """Register a parameter, or a buffer if it is not trainable."""
        if trainable:
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)

    def _add_synapses(self, name: str, weight: Tensor, connectivity: Connectivity) -> None:
        """Register the weights between the neurons of layers, and the list of their synapses."""
        self._add(f"weight_{name}", weight)
        synapses = draw_synapses(connectivity, weight.shape)
        if synapses is None:  # a buffer that is None would shift the others in torch.export
            setattr(self, f"synapses_{name}", None)
        else:
            self.register_buffer(f"synapses_{name}", synapses.to(weight.device))

    def _axons(self, channels: int, shortest: int, longest: int) -> delays.Axons:
        """Return axons with delays of shortest .. longest steps."""
        like = self.weight_ih_l0
        if self.learn_delays:
            return delays.LearnedDelay(
                channels, longest, shortest, device=like.device, dtype=like.dtype
            )
        return delays.Delay(torch.randint(shortest, longest + 1, (channels,), device=like.device))

    @property
    def directions(self) -> int:
        """Populations per layer: one, or one forward and one backward in time."""
        return 2 if self.bidirectional else 1

    @property
    def neuron(self) -> Any:
        """The neuron of all layers, or a tuple of those of the layers; `neurons` always has one
        per layer, as `hidden_sizes` and `surrogates` do."""
        return shared(self.neurons)

    @property
    def hidden_size(self) -> Any:
        """The width of all layers, or a tuple of those of the layers."""
        return shared(self.hidden_sizes)

    @property
    def surrogate(self) -> Any:
        """The surrogate of all layers, or a tuple of those of the layers; it can be replaced."""
        return shared(self.surrogates)

    @surrogate.setter
    def surrogate(self, surrogate: PerLayer[str | Surrogate]) -> None:
        number_of_layers(self.num_layers, surrogate=surrogate)
        surrogates = per_layer(surrogate, self.num_layers, surrogate_by_name)
        if self.feedback:
            check_one_kind(self.neurons, surrogates)
        check_names(self.neurons, surrogates)
        self.surrogates = surrogates

    @property
    def output_size(self) -> int:
        """Width of the output: the neurons of the last layer in all directions."""
        return self.directions * self.hidden_sizes[-1]

    @property
    def names(self) -> list[str]:
        """The populations in the order of the state, named as torch names the layers' weights."""
        sides = ("", "_reverse")[: self.directions]
        return [f"l{k}{side}" for k in range(self.num_layers) for side in sides]

    def neuron_of(self, index: int) -> NeuronModel:
        """The neuron of population `index`."""
        if not 0 <= index < len(self.names):
            raise InputError(f"index must lie in 0..{len(self.names) - 1}, got {index}")
        return self.neurons[index // self.directions]

    def _input_weights(self, name: str) -> list[Tensor]:
        """The weights of a population's input from the layer below and, by skip, the next lower."""
        weights = (getattr(self, f"weight_{kind}_{name}", None) for kind in ("ih", "sk"))
        return [weight for weight in weights if weight is not None]

    def _input_width(self, name: str) -> int:
        """The channels of a population's input."""
        return sum(weight.shape[1] for weight in self._input_weights(name))

    def reset_parameters(self) -> None:
        """Draw constants and weights so that a fresh layer fires at a few per cent.

        Nothing is drawn on the meta device. Synapses, delays and the tables of groups are drawn
        where the layer is made, so that one made on the meta device, which has lost them, needs a
        state_dict: it raises UnsupportedError.
        """
        if self.weight_ih_l0.is_meta:
            return
        drawn = [n for n, _ in self.named_buffers() if n.startswith(("synapses", "weight_rt"))]
        drawn += [n for n, part in self.named_children() if isinstance(part, delays.Delay)]
        if self._made_on_meta and drawn:
            raise UnsupportedError(
                f"{', '.join(drawn)} were lost on the meta device; make the layer where it is to "
                f"be, or load a state_dict"
            )
        for index, name in enumerate(self.names):
            neuron = self.neuron_of(index)
            with torch.no_grad():
                for constant in neuron.constants.values():
                    raw = getattr(self, f"raw_{constant.symbol}_{name}")
                    raw.copy_(constant.draw(len(raw), self.dt))
            response = init.impulse_response(neuron, self.params(index))
            weights = self._input_weights(name)
            for weight, below in zip(weights, (1, 2)):
                from_input = index < below * self.directions
                power = self.input_power if from_input else TYPICAL_RATE
                init.draw_weight(weight, response, power, INPUT_DRIVE / len(weights) ** 0.5)
            for kind in ("ih", "hh"):
                axons = getattr(self, f"delay_{kind}_{name}", None)
                if isinstance(axons, delays.LearnedDelay):
                    axons.reset_parameters()
            if self.bias:
                drive = BIAS_DRIVE if neuron.spikes else 0.0
                init.draw_bias(getattr(self, f"bias_{name}"), response, drive)
            for kind in ("hh", "fb"):
                w_rec = getattr(self, f"weight_{kind}_{name}", None)
                if w_rec is not None:
                    init.draw_weight(w_rec, response, TYPICAL_RATE, RECURRENT_DRIVE)
                    synapses = synapses_of(self, f"weight_{kind}_{name}")
                    if synapses is not None:
                        keep_synapses(w_rec, synapses)
            if self.routing == LEARNED:
                router, power = getattr(self, f"weight_rt_{name}"), self.input_power
                nn.init.normal_(
                    router, std=(router.shape[1] * (TYPICAL_RATE if index else power)) ** -0.5
                )
        self._drawn = self._weight_sums()

    def _load_from_state_dict(self, *arguments: Any) -> None:
        """Load, and know that what was lost on the meta device is there now."""
        super()._load_from_state_dict(*arguments)
        self._made_on_meta = False

    def _weight_sums(self) -> list[int]:
        """Return the sum of the bits of each population's input weights, in float32.

        Whole numbers have one sum in any order, on any device, and of weights in float64 too.
        """
        weights = (getattr(self, f"weight_ih_{name}").detach() for name in self.names)
        return [
            int(w.float().contiguous().view(torch.int32).sum(dtype=torch.int64)) for w in weights
        ]

    @property
    def is_fresh(self) -> bool:
        """Whether the input weights are as they were drawn: not trained, loaded or calibrated.

        Weights that were rounded, to a shorter type, are not.
        """
        return self._drawn == self._weight_sums()

    def params(self, index: int) -> Params:
        """Return the constants in the equation of population `index`, each (H,), with gradients."""
        neuron, name = self.neuron_of(index), self.names[index]
        return neuron.params(
            **{
                field: constant.field(getattr(self, f"raw_{constant.symbol}_{name}"), self.dt)
                for field, constant in neuron.constants.items()
            }
        )

    def constants(self, index: int | None = None) -> dict[str, Tensor]:
        """Return the constants of population `index` by symbol, each (H,), with gradients.

        They are in the units in which they are set, time constants in ms. The index may be left out
        where there is one population.
        """
        if index is None and len(self.names) > 1:
            raise InputError(f"give the index of a population, 0..{len(self.names) - 1}")
        index = index or 0
        neuron, name = self.neuron_of(index), self.names[index]
        return {
            c.symbol: c.value(getattr(self, f"raw_{c.symbol}_{name}"))
            for c in neuron.constants.values()
        }

    def set_constants(self, index: int | None = None, **values: Any) -> None:
        """Set constants of population `index`, or of all populations, by symbol, times in ms.

        A value is a number, or a list, array or tensor of one number per neuron. Whether a constant
        is trained stays as it is. Raises InputError, and sets nothing, if the neuron has no such
        constant or does not permit a value.

        >>> layer = SpikingRNN("LIF", 3, 2)
        >>> layer.set_constants(tau_mem=[5.0, 20.0])
        >>> layer.constants()["tau_mem"].tolist()
        [5.0, 20.0]
        """
        found = []
        for k in range(len(self.names)) if index is None else [index]:
            neuron = self.neuron_of(k)
            self._check_symbols(k, values)
            for symbol, value in values.items():
                neuron = neuron.with_constant(symbol, mean=value)
            for constant in neuron.constants.values():
                if constant.symbol in values:
                    raw = getattr(self, f"raw_{constant.symbol}_{self.names[k]}")
                    value = constant.centre(len(raw))
                    constant.check_below(constant.value(value), self.dt)
                    found.append((raw, value))
        with torch.no_grad():
            for raw, value in found:
                raw.copy_(value)

    def keep_stable(self) -> None:
        """Move trained constants back to where the equation has a meaning, such as omega dt < 1.

        `fit` calls it after every update. Other constants stay as they are.

        >>> layer = SpikingRNN("BRF", 3, 2, dt=2.0)
        >>> _ = layer.raw_omega_l0.data.fill_(3.0)  # where training has brought it
        >>> layer.keep_stable()
        >>> layer.constants()["omega"]
        tensor([0.4995, 0.4995], grad_fn=<ExpBackward0>)
        """
        for k, name in enumerate(self.names):
            for constant in self.neuron_of(k).constants.values():
                constant.keep_below(getattr(self, f"raw_{constant.symbol}_{name}"), self.dt)

    def _check_symbols(self, index: int, symbols: Iterable[str]) -> None:
        """Raise InputError for a constant that population `index` has not; it says which have."""
        models = [self.neuron_of(k) for k in range(len(self.names))]
        own = [[c.symbol for c in model.constants.values()] for model in models]
        for symbol in symbols:
            if symbol not in own[index]:
                having = [str(k) for k, known in enumerate(own) if symbol in known]
                where = f": {', '.join(having)} have it" if having else ""
                raise InputError(
                    f"{models[index].name}, population {index}, has no constant '{symbol}'; it has "
                    f"{', '.join(own[index])}; index= chooses a population{where}"
                )

    def populations(self, buffer: Tensor | None = None) -> list[Population]:
        """Return what the engines run: a population per layer and direction; one with feedback.

        With the buffer of the state they have their recurrent delays.
        """
        arguments.check_weights(self)
        self._check_bounds()
        self._check_delays()
        populations = [self._population(index, name) for index, name in enumerate(self.names)]
        if buffer is not None:
            buffers = torch.split(buffer, self.delayed_axons(), 2)
            populations = list(map(self._with_delays, self.names, populations, buffers))
        if not self.feedback:
            return populations
        bundles = [
            Bundle(weight, synapses_of(self, f"weight_fb_{name}"))
            if (weight := getattr(self, f"weight_fb_{name}", None)) is not None
            else None
            for name in self.names[:-1]
        ]
        return [merge(populations, bundles)]

    def _check_bounds(self) -> None:
        """Raise InputError for constants beyond the bound of their equation; see `keep_stable`."""
        if not arguments.values_are_known():
            return
        for index, name in enumerate(self.names):
            for constant in self.neuron_of(index).constants.values():
                if constant.below < math.inf:
                    raw = getattr(self, f"raw_{constant.symbol}_{name}").detach()
                    value = constant.value(raw)
                    if arguments.has_values(value):
                        constant.check_below(value, self.dt)
                    elif not value.is_meta:
                        inside = (value * self.dt < constant.below).all()
                        torch._assert_async(inside, f"{constant.symbol} is beyond its bound")

    def _check_delays(self) -> None:
        """Raise InputError for delays of one's own that the state's buffer cannot hold."""
        for name, axons in self.named_children():
            if isinstance(axons, delays.Axons):
                steps, is_learned = axons.steps, isinstance(axons, delays.LearnedDelay)
                own = name.startswith("delay_hh")
                population = name[len("delay_hh_") :]
                channels = (
                    len(getattr(self, f"weight_hh_{population}"))
                    if own
                    else self._input_width(population)
                )
                if steps.shape != (channels,) or steps.dtype != torch.int64:
                    raise InputError(
                        f"{name}.steps must be {channels} whole numbers (int64), got "
                        f"{steps.dtype} of shape {tuple(steps.shape)}"
                    )
                if not (is_learned or arguments.can_be_asked(steps)):
                    continue
                longest = self.recurrent_delay if own else self.delay
                if axons.shortest < own or axons.longest > longest:
                    raise InputError(
                        f"{name}.steps must lie in {int(own)}..{longest}, the longest delay of the "
                        f"layer, got {axons.shortest}..{axons.longest}"
                    )

    def _population(self, index: int, name: str) -> Population:
        """Return one population; a recurrence with delays has no list of synapses."""
        inputs = self._input_weights(name)
        w_rec = getattr(self, f"weight_hh_{name}", None)
        synapses = synapses_of(self, f"weight_hh_{name}")
        if w_rec is not None and self.recurrent_delay > 1:
            w_rec, synapses = existing_weights(w_rec, synapses), None
        return Population(
            self.neuron_of(index),
            self.surrogates[index // self.directions],
            self.params(index),
            inputs[0] if len(inputs) == 1 else torch.cat(inputs, 1),
            getattr(self, f"bias_{name}") if self.bias else None,
            w_rec,
            synapses,
            self._router(name) if self.experts > 1 else None,
        )

    def _with_delays(self, name: str, population: Population, buffer: Tensor) -> Population:
        """Return a population with its recurrent delays, if any, and what is under way on them."""
        axons = getattr(self, f"delay_hh_{name}", None)
        if axons is None:
            return population
        return population._replace(delays=axons.under_way(buffer[..., -len(population.w_in) :]))

    def _router(self, name: str) -> Router:
        """Return what wakes the groups of one population."""
        weight = getattr(self, f"weight_rt_{name}")
        return Router(weight, self.awake, self.routing == LEARNED, self.sleep == DECAYING)

    @property
    def engine(self) -> str:
        """The engine that runs: the one asked for, or the choice of "auto"."""
        if self.engine_asked != "auto":
            return self.engine_asked
        weight = self.weight_ih_l0
        name = {"cpu": "fused", "cuda": "triton"}.get(weight.device.type, "reference")
        if name == "reference" or weight.dtype != torch.float32:
            return "reference"
        if name == "triton" and (self.experts > 1 or self.recurrent_delay > 1):
            return "reference"
        supports = derivation.supports if name == "fused" else triton.supports
        return name if all(map(supports, self.neurons, self.surrogates)) else "reference"

    @property
    def drops_out(self) -> bool:
        """Whether dropout acts between layers now."""
        return self.training and self.dropout > 0 and self.num_layers > 1

    @property
    def delayed(self) -> bool:
        """Whether axons take several steps, so that the state has a buffer."""
        return self.delay > 0 or self.recurrent_delay > 1

    @property
    def spreads_delays(self) -> bool:
        """Whether learned delays spread spikes over several steps now."""
        learned = (axons for axons in self.children() if isinstance(axons, delays.LearnedDelay))
        return any(axons.training for axons in learned)

    @property
    def is_chain(self) -> bool:
        """Whether all that every population receives from others are, in the same step, the spikes
        of the one before it.

        Then populations above can run with it as one stack.
        """
        connected_otherwise = self.feedback or self.bidirectional or self.skip
        return not (connected_otherwise or self.delay or self.drops_out)

    def _repr_html_(self) -> str:
        return module_html(self)

    def forward(
        self,
        x: arguments.LayerInput,
        state: State = None,
        lengths: arguments.Lengths | None = None,
    ) -> tuple[Any, State]:
        """Return the last layer's output in the layout of x, and the final state."""
        batched, lengths = arguments.to_time_first(x, lengths, self.batch_first)
        single = arguments.is_single(x)
        if single and state is not None:
            state = states.batch_of_one(self._forms(), state, self.weight_ih_l0)
        result = self.run(batched, state, lengths)
        after = self.final_state(result.states, result.buffers)
        if single:
            after = states.only_sample(self._forms(), after)
        return arguments.to_layout_of(x, result.out, self.batch_first), after

    def check_call(
        self, x: Input, lengths: arguments.Lengths | None
    ) -> tuple[Input, Tensor | None]:
        """Return x (T, B, F) and lengths (B,) as the engines take them, or raise InputError."""
        arguments.check_device(self.weight_ih_l0.device, {"the input": x})
        x = arguments.in_dtype(x, self.weight_ih_l0.dtype)
        arguments.check_input(x, self.input_size, self.weight_ih_l0.dtype)
        if lengths is None:
            return x, None
        lengths = arguments.as_lengths(lengths)
        arguments.check_lengths(lengths, x.shape[0], x.shape[1])
        return x, lengths.to(self.weight_ih_l0.device)

    def run(
        self, x: Input, state: State = None, lengths: arguments.Lengths | None = None
    ) -> RunResult:
        """Run all layers on x (T, B, F): the last one's output, states, spikes per neuron."""
        x, lengths = self.check_call(x, lengths)
        before, buffer = self.initial_states(state, x.shape[1])
        if self.is_chain:
            return run_stack(self.engine, self.populations(buffer), before, x, lengths)
        return self._run_layers(x, before, buffer, lengths)[1]

    def unroll(
        self, x: Input, state: State = None, lengths: arguments.Lengths | None = None
    ) -> tuple[list[Tensor], State]:
        """Return the outputs of every layer, each (T, B, H), and the final state."""
        x, lengths = self.check_call(x, lengths)
        before, buffer = self.initial_states(state, x.shape[1])
        outputs, result = self._run_layers(x, before, buffer, lengths)
        return outputs, self.final_state(result.states, result.buffers)

    def _run_layers(
        self, x: Input, before: list[State], buffer: Tensor | None, lengths: Tensor | None
    ) -> tuple[list[Tensor], RunResult]:
        """Return the output of every layer, and the result of all of them."""
        if self.feedback:
            result = run_stack(self.engine, self.populations(), [merge_states(before)], x, lengths)
            return split_result(result, self.hidden_sizes)
        outputs: list[Tensor] = []
        results: list[RunResult] = []
        inputs = [x]
        buffers: Sequence[Tensor | None] = [None] * len(before)
        if buffer is not None:
            buffers = torch.split(buffer, self.delayed_axons(), 2)
        populations = iter(zip(self.names, self.populations(buffer), before, buffers))
        for layer in range(self.num_layers):
            x = inputs[-1]
            if self.skip and layer:
                x = torch.cat([dense(part) for part in inputs[:-3:-1]], 2)
            sides = []
            for direction in range(self.directions):
                arriving = arguments.reversed_in_time(dense(x), lengths) if direction else x
                result = self._run_population(*next(populations), arriving, lengths)
                out = result.out
                sides.append(arguments.reversed_in_time(out, lengths) if direction else out)
                results.append(result)
            outputs.append(torch.cat(sides, -1) if self.bidirectional else sides[0])
            inputs.append(outputs[-1])
            if self.drops_out and layer < self.num_layers - 1:
                inputs[-1] = functional.dropout(outputs[-1], self.dropout)
        return outputs, RunResult(
            outputs[-1],
            [state for result in results for state in result.states],
            [spikes for result in results for spikes in result.spikes],
            [buffer for result in results for buffer in result.buffers],
            [routing for result in results for routing in result.routings],
        )

    def _run_population(
        self,
        name: str,
        population: Population,
        state: State,
        buffer: Tensor | None,
        x: Input,
        lengths: Tensor | None,
    ) -> RunResult:
        """Run one population; its input waits in the buffer if it is delayed."""
        axons = getattr(self, f"delay_ih_{name}", None)
        if axons is None or buffer is None:
            return run_stack(self.engine, [population], [state], x, lengths)
        x = dense(x)
        before = buffer[..., : x.shape[2]]
        arriving = axons.arrivals(torch.cat([before, x]), len(x))
        result = run_stack(self.engine, [population], [state], arriving, lengths)
        waiting = [last_values(before, x, lengths), *result.buffers]
        return result._replace(buffers=[torch.cat(waiting, 2)])

    def delayed_axons(self) -> list[int]:
        """The delayed axons of each population: those of its input, then its own."""
        return [
            (self._input_width(name) if self.delay else 0)
            + (len(getattr(self, f"weight_hh_{name}", ())) if self.recurrent_delay > 1 else 0)
            for name in self.names
        ]

    @property
    def _longest_delay(self) -> int:
        """The steps that the buffer holds."""
        return max(self.delay, self.recurrent_delay if self.recurrent_delay > 1 else 0)

    def _forms(self) -> list[states.Form]:
        """How the states of populations are joined: all in one, or those of each layer."""
        kinds = {(n.state, width) for n, width in zip(self.neurons, self.hidden_sizes)}
        count = len(self.names)
        size = count if len(kinds) == 1 else self.directions
        axons = tuple(self.delayed_axons())
        return [
            states.Form(
                self.neuron_of(k).state,
                self.hidden_sizes[k // self.directions],
                axons[k : k + size],
                self._longest_delay,
            )
            for k in range(0, count, size)
        ]

    def zero_state(self, batch: int) -> State:
        """Return the state before the first step, each field (L, B, H); L counts directions too."""
        return states.zero(self._forms(), batch, self.weight_ih_l0)

    def initial_states(self, state: State, batch: int) -> tuple[list[State], Tensor | None]:
        """Check a state, None for zero; return each population's state, and the buffer if any."""
        state = self.zero_state(batch) if state is None else state
        return states.split(self._forms(), state, batch, self.weight_ih_l0)

    def final_state(self, after: Sequence[State], buffers: Sequence[Tensor] = ()) -> State:
        """Join the states of all populations, each field (B, H), and the buffers of those with
        delayed axons to one state."""
        return states.join(self._forms(), after, buffers)

    def extra_repr(self) -> str:
        """The settings, the chosen engine among them."""
        return (
            f"{_shown(n.name for n in self.neurons)}, {self.input_size}, {self.hidden_size}, "
            f"num_layers={self.num_layers}, bias={self.bias}, batch_first={self.batch_first}, "
            + (f"dropout={self.dropout}, " if self.dropout else "")
            + ("bidirectional=True, " if self.bidirectional else "")
            + f"recurrent={_shown(self.connectivity)}, "
            + (f"feedback={_shown(self.feedback_connectivity)}, " if self.feedback else "")
            + ("skip=True, " if self.skip else "")
            + (f"delay={self.delay}, " if self.delay else "")
            + (f"recurrent_delay={self.recurrent_delay}, " if self.recurrent_delay > 1 else "")
            + ("learn_delays=True, " if self.learn_delays else "")
            + (
                f"experts={self.experts}, awake={self.awake}, routing={self.routing}, "
                f"sleep={self.sleep}, "
                if self.experts > 1
                else ""
            )
            + f"dt={self.dt}, surrogate={_shown(s.name for s in self.surrogates)}, "
            f"engine={self.engine}{' (auto)' if self.engine_asked == 'auto' else ''}"
        )


def _shown(titles: str | Iterable[str]) -> str:
    """A title of all layers, or a list of those of the layers."""
    found = titles if isinstance(titles, str) else shared(tuple(titles))
    return found if isinstance(found, str) else f"({', '.join(found)})"


class Readout(SpikingRNN):
    """Leaky integrators that read spikes out: `v, state = readout(z, state, lengths)`.

    >>> v, state = Readout(8, 3)(torch.zeros(20, 4, 8))
    >>> v.shape
    torch.Size([20, 4, 3])
    """

    def __init__(
        self,
        input_size: int,
        output_size: PerLayer[int],
        neuron: PerLayer[str | NeuronModel] = LI,
        **settings: Any,
    ) -> None:
        settings = {"recurrent": False, "input_power": TYPICAL_RATE} | settings
        super().__init__(neuron, input_size, output_size, **settings)
