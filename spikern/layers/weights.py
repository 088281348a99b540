"""What a stack of layers is made of: its weights and constants by name, and their first values."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from spikern import init
from spikern.engines import boundary, fused
from spikern.engines.feedback import Bundle, merged
from spikern.engines.stack import Population, existing
from spikern.layers.between import check_between, check_delays
from spikern.layers.delay import Axons, Delay, LearnedDelay
from spikern.layers.stacks import ENGINES
from spikern.neurons import NEURONS
from spikern.surrogate import SURROGATES, Surrogate
from spikern.types import InputError, NeuronModel, Params

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
            boundary.check_choice("neuron", neuron, NEURONS)
            neuron = NEURONS[neuron]
        if isinstance(surrogate, str):
            boundary.check_choice("surrogate", surrogate, SURROGATES)
            surrogate = SURROGATES[surrogate]()
        boundary.check_choice("engine", engine, ("auto", *ENGINES))
        pattern = init.recurrence("recurrent", recurrent, hidden_size)
        above = init.recurrence("feedback", feedback, hidden_size)
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

    def _add_synapses(self, name: str, weight: Tensor, pattern: init.Recurrence) -> None:
        self._add(f"weight_{name}", weight)
        links = init.links(pattern, self.hidden_size)
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
                        init.thin(synapses, links)

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
        return [merged(single, bundles)]

    def _population(self, index: int, name: str) -> Population:
        """One population; a recurrence that takes several steps is an input like others."""
        heard = self._hears(name)
        weight = getattr(self, f"weight_hh_{name}") if self.recurrent else None
        links = getattr(self, f"links_hh_{name}") if self.recurrent else None
        if weight is not None and self.recurrent_delay > 1:
            heard, weight, links = [*heard, existing(weight, links)], None, None
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
