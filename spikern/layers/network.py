"""Whole networks: a recurrent body, a readout, and how the readout becomes the answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from spikern._utils.choices import check_choice
from spikern._utils.display import module_html
from spikern._utils.errors import InputError
from spikern._utils.numbers import check_counts
from spikern._utils.tensors import to_numpy
from spikern.data.task import Prediction, Task, fitting, known
from spikern.engines.dispatch import run_stack
from spikern.engines.experts import Routing
from spikern.events.trains import Input, valid_steps
from spikern.layers.arguments import Lengths, as_lengths, check_weights
from spikern.layers.baseline import BASELINES, Baseline
from spikern.layers.per_layer import PerLayer, check_names, neuron_by_name, per_layer
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.neurons import LI, NEURONS, NeuronModel

Answer = Literal["every_step", "mean", "last"]
Form = Callable[[Tensor, Tensor | None], Tensor]
"""(steps (T, B, C), lengths (B,)) -> the answer."""
TOLERANCE = 0.05
"""Largest deviation from a parameter budget, as a share of it."""
SETTINGS = (
    "dt", "surrogate", "engine", "recurrent", "feedback", "dropout", "bidirectional", "skip",
    "delay", "recurrent_delay", "learn_delays", "experts", "awake", "routing", "sleep",
)  # fmt: skip
"""The settings that `build` passes to a spiking body."""
PREDICTED = 256
"""Sequences that `predict` runs at once."""
MODELS = (*(n.name for n in NEURONS.values() if n.spikes), *BASELINES)


class Activity(NamedTuple):
    """The logits of one forward pass, and the spikes of its hidden layers.

    logits    (B, C), or (T, B, C) if the answer is given at every step
    spikes    (H,) of every hidden spiking layer: how often each neuron fired, over samples and
              steps, with its gradient
    routings  what the learned router of every layer did
    """

    logits: Tensor
    spikes: list[Tensor]
    routings: Sequence[Routing] = ()


class Network(nn.Module):
    """Body and readout: `logits, state = network(x, state, lengths)`, x (T, B, F).

    Leaky integrators read out spiking networks, a linear map reads out standard ones. The answer
    is the readout at `every_step`, or its `mean` or `last` valid step over a whole sequence. A
    linear map is applied after the mean, which gives the same with a fraction of the operations.

    `task` is what `fit` trained it for: the names of the classes, and what raw readings go through.
    It is None before.

    >>> network = build("LIF", 3, 16, 2)
    >>> logits, state = network(torch.randn(20, 4, 3))
    >>> logits.shape
    torch.Size([4, 2])
    """

    def __init__(
        self, body: SpikingRNN | Baseline, readout: Readout | nn.Linear, answer: Answer
    ) -> None:
        super().__init__()
        check_choice("answer", answer, ANSWERS)
        if not isinstance(body, SpikingRNN | Baseline) or not isinstance(
            readout, Readout | nn.Linear
        ):
            raise InputError(
                f"a Network is a SpikingRNN or a Baseline with a Readout or a torch.nn.Linear, got "
                f"{type(body).__name__} with {type(readout).__name__}; several layers are one "
                f"SpikingRNN, which takes lists, and other modules train without a Network"
            )
        for part, layer in (("body", body), ("readout", readout)):
            if isinstance(layer, SpikingRNN) and layer.batch_first:
                raise InputError(
                    f"a network runs over (T, B, F); make its {part} with batch_first=False"
                )
        wide = body.output_size if isinstance(body, SpikingRNN) else body.hidden_size
        taken = readout.input_size if isinstance(readout, Readout) else readout.in_features
        if wide != taken:
            raise InputError(
                f"the body has {wide} outputs, and the readout takes {taken}; make it with "
                f"{wide} inputs"
            )
        stacks = [part for part in (body, readout) if isinstance(part, SpikingRNN)]
        check_names(
            [neuron for stack in stacks for neuron in stack.neurons],
            [surrogate for stack in stacks for surrogate in stack.surrogates],
        )
        self.body = body
        self.readout = readout
        self.answer = answer
        self._task: Task | None = None

    @property
    def task(self) -> Task | None:
        """What it was trained for; set, it must have as many classes as the network."""
        return self._task

    @task.setter
    def task(self, task: Task | None) -> None:
        self._task = fitting(task, self.classes)

    @property
    def spiking(self) -> bool:
        """Whether the hidden layers communicate by spikes."""
        return isinstance(self.body, SpikingRNN)

    @property
    def classes(self) -> int:
        """Number of classes, C."""
        readout = self.readout
        return readout.output_size if isinstance(readout, Readout) else readout.out_features

    @property
    def parameter_count(self) -> int:
        """Trainable numbers, including the trained time constants."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def run(
        self,
        x: Input,
        state: Any = None,
        lengths: Lengths | None = None,
        answer: Answer | None = None,
    ) -> tuple[Activity, Any]:
        """Return the activity of one forward pass, and the state of body and readout.

        `answer` is the form of the logits, by default the network's own.
        """
        if lengths is not None:
            lengths = as_lengths(lengths).to(next(self.parameters()).device)
        if answer is not None:
            check_choice("answer", answer, ANSWERS)
        body, readout, form = self.body, self.readout, ANSWERS[answer or self.answer]
        body_state, readout_state = parts_of(state)
        spikes: list[Tensor] = []
        routings: Sequence[Routing] = ()
        if not isinstance(body, SpikingRNN):
            out, body_state = body(x, body_state, lengths)
        elif (
            isinstance(readout, Readout)
            and readout.engine == body.engine
            and body.is_chain
            and readout.is_chain
        ):
            states = body_state, readout_state
            return self._run_as_one_stack(body, readout, x, states, lengths, form)
        else:
            result = body.run(x, body_state, lengths)
            out, spikes, routings = result.out, result.spikes, result.routings
            body_state = body.final_state(result.states, result.buffers)
        if isinstance(readout, Readout):
            steps, readout_state = readout(out, readout_state, lengths)
            return Activity(form(steps, lengths), spikes, routings), (body_state, readout_state)
        check_weights(readout)
        logits = readout(form(out, lengths))
        return Activity(logits, spikes, routings), (body_state, readout_state)

    def _run_as_one_stack(
        self, body: SpikingRNN, readout: Readout, x: Input, state: tuple[Any, Any],
        lengths: Tensor | None, form: Form,
    ) -> tuple[Activity, Any]:  # fmt: skip
        """Run body and readout as one stack, so that the spikes between them stay sparse."""
        x, lengths = body.check_call(x, lengths)
        below, buffer = body.initial_states(state[0], x.shape[1])
        above, own_buffer = readout.initial_states(state[1], x.shape[1])
        populations = [*body.populations(buffer), *readout.populations(own_buffer)]
        result = run_stack(body.engine, populations, [*below, *above], x, lengths)
        delayed = sum(map(bool, body.delayed_axons()))
        after = (
            body.final_state(result.states[: body.num_layers], result.buffers[:delayed]),
            readout.final_state(result.states[body.num_layers :], result.buffers[delayed:]),
        )
        hidden = result.spikes[: sum(neuron.spikes for neuron in body.neurons)]
        return Activity(form(result.out, lengths), hidden, result.routings), after

    def hidden(self, x: Input, lengths: Lengths | None = None, state: Any = None) -> list[Tensor]:
        """Return the output of every hidden layer (T, B, H); of a standard one, the last."""
        before, _ = parts_of(state)
        if isinstance(self.body, SpikingRNN):
            return self.body.unroll(x, before, lengths)[0]
        return [self.body(x, before, lengths)[0]]

    def _repr_html_(self) -> str:
        return module_html(self)

    def forward(
        self, x: Input, state: Any = None, lengths: Lengths | None = None
    ) -> tuple[Tensor, Any]:
        """Return logits and state."""
        activity, after = self.run(x, state, lengths)
        return activity.logits, after

    def predict(self, samples: Any) -> Prediction:
        """Return the answers to raw samples: one (T, F), or a list of them of any lengths.

        They go through the transforms of `task`. A sequence of one feature may be (T,), a text is
        a str. An array of three axes is refused: its first could be the samples or the time. Raises
        InputError if the network has no task, and for a sample that is empty, holds NaN or has
        another number of features.
        """
        task = known(self.task)
        axes = getattr(samples, "ndim", 0)
        if axes > 2:
            raise InputError(
                f"expected one sample (T, F) or a list of samples, got an array "
                f"{tuple(samples.shape)}; give list(x) where its first axis counts the samples, "
                f"list(x.swapaxes(0, 1)) where it is time"
            )
        if not isinstance(samples, Iterable):
            raise InputError(
                f"expected one sample (T, F) or a list of samples, got {type(samples).__name__}"
            )
        one = isinstance(samples, str) or axes > 0
        prepared = []
        for n, sample in enumerate([samples] if one else samples):
            try:
                prepared.append(torch.tensor(task.prepare(sample)[0]))
            except InputError as error:
                raise InputError(f"sample {n}: {error}") from error
        if not prepared:
            raise InputError("expected at least one sample, got none")
        weight = next(self.parameters())
        lengths = torch.tensor([len(x) for x in prepared], device=weight.device)
        batches = zip(
            torch.split(pad_sequence(prepared).to(weight), PREDICTED, 1),
            torch.split(lengths, PREDICTED),
        )
        with evaluating(self):
            logits = [self(x, lengths=own)[0] for x, own in batches]
        if self.answer != "every_step":
            return task.prediction(to_numpy(torch.cat(logits)))
        answers = task.prediction(to_numpy(torch.cat(logits, 1)))
        valid = valid_steps(lengths, len(answers.logits)).cpu().numpy()
        return answers._replace(
            names=np.where(valid, answers.names, ""),
            probabilities=answers.probabilities * valid[..., None],
        )


def parts_of(state: Any) -> tuple[Any, Any]:
    """The states of body and readout; None is the beginning of both."""
    if state is None:
        return None, None
    if not (isinstance(state, (tuple, list)) and len(state) == 2 and not hasattr(state, "_fields")):
        raise InputError(
            f"expected the state that a network returns, that of its body and that of its "
            f"readout, got {type(state).__name__}"
        )
    return state[0], state[1]


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Within it a module has neither dropout nor gradients; each part has its own mode after it.

    >>> layer = nn.Dropout(0.5)
    >>> with evaluating(layer):
    ...     inside = layer.training
    >>> inside, layer.training
    (False, True)
    """
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def every_step(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Return all steps of x (T, B, C) unchanged."""
    return x


def last_step(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Return each sample's last valid step of x (T, B, C): (B, C)."""
    if lengths is None:
        return x[-1]
    return x[lengths - 1, torch.arange(x.shape[1], device=x.device)]


def mean_step(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Return the mean over each sample's valid steps of x (T, B, C): (B, C)."""
    if lengths is None:
        return x.mean(0)
    valid = valid_steps(lengths, len(x)).unsqueeze(2)
    return (x * valid).sum(0) / lengths.unsqueeze(1)


ANSWERS = {"every_step": every_step, "mean": mean_step, "last": last_step}


def build(
    model: PerLayer[str | NeuronModel],
    input_size: int,
    hidden_size: PerLayer[int],
    classes: int,
    answer: Answer = "last",
    num_layers: int | None = None,
    readout: NeuronModel = LI,
    **settings: Any,
) -> Network:
    """Build a network of a spiking neuron, by its name or itself, or of RNN, GRU, LSTM by name.

    Lists of neurons and of hidden sizes have one entry per layer, of spiking neurons alone.
    `settings` (dt, surrogate, engine, recurrent, feedback, dropout, bidirectional, skip, delay,
    recurrent_delay, learn_delays, experts, awake, routing, sleep) go to SpikingRNN; a standard
    model takes experts and awake. `engine` is that of the readout too, whose neuron is `readout`,
    and `delay` also applies to the axons to it.

    >>> build("GRU", 1, 8, 10).parameter_count
    354
    >>> build(["ALIF", "LIF"], 3, [16, 8], 2).readout.input_size
    8
    """
    check_counts(classes=classes)
    models = per_layer(model, 1)
    named = [each for each in models if isinstance(each, str)]
    for each in named:
        check_choice("model", each, MODELS)
    name = ", ".join(
        each if isinstance(each, str) else neuron_by_name(each).name for each in models
    )
    standard = not BASELINES.keys().isdisjoint(named)
    allowed = ("experts", "awake") if standard else SETTINGS
    unknown = [name for name in settings if name not in allowed]
    if unknown:
        raise InputError(
            f"{name} takes no {', '.join(unknown)}; it takes {', '.join(allowed)} here"
        )
    if standard:
        if not isinstance(model, str) or isinstance(hidden_size, Sequence):
            raise InputError(
                f"RNN, GRU and LSTM have layers of one kind and width, as in torch, got {name} and "
                f"hidden_size={hidden_size}; give one of them and one number"
            )
        layers = 1 if num_layers is None else num_layers
        body = Baseline(model, input_size, hidden_size, layers, **settings)
        return Network(body, nn.Linear(hidden_size, classes), answer)
    spiking = SpikingRNN(model, input_size, hidden_size, num_layers, **settings)
    learned = spiking.delay > 0 and spiking.learn_delays
    integrators = Readout(
        spiking.output_size,
        classes,
        readout,
        dt=spiking.dt,
        engine=spiking.engine_asked,
        delay=spiking.delay,
        learn_delays=learned,
    )
    return Network(spiking, integrators, answer)


def hidden_for_budget(
    model: PerLayer[str | NeuronModel],
    input_size: int,
    classes: int,
    parameters: int,
    num_layers: int | None = None,
    **settings: Any,
) -> int:
    """Return the hidden size whose parameter count is nearest to a budget, within 5 %.

    All layers have this size, which in spiking ones is a multiple of `experts`. `settings` are
    those of `build`.

    >>> hidden_for_budget("LSTM", 1, 10, 20_000)
    68
    """
    standard = isinstance(model, str) and model in BASELINES
    groups: int = 1 if standard else settings.get("experts", 1)

    def count(share: int) -> int:
        hidden = share * groups
        network = build(model, input_size, hidden, classes, num_layers=num_layers, **settings)
        return network.parameter_count

    # The count is c + b h + a h^2, so three small networks determine it for every h; a is 0 where
    # no layer feeds one of its own width.
    one, two, three = (count(h) for h in (1, 2, 3))
    a = (three - 2 * two + one) / 2
    b = two - one - 3 * a
    c = one - a - b
    if a == 0:
        exact = (parameters - c) / b
    else:
        exact = (math.sqrt(max(b * b - 4 * a * (c - parameters), 0.0)) - b) / (2 * a)
    share = max(round(exact), 1)
    nearest = round(c + b * share + a * share * share)
    hidden = share * groups
    if abs(nearest - parameters) > TOLERANCE * parameters:
        raise InputError(
            f"{model} cannot come within {TOLERANCE:.0%} of {parameters} parameters; "
            f"the nearest is {nearest} with {hidden} hidden"
        )
    return hidden
