"""A whole network: recurrent body, readout, and how the readout becomes one answer."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from spikern.baselines import BASELINES, Baseline
from spikern.engines import boundary
from spikern.layers import Readout, SpikingRNN
from spikern.neurons import NEURONS
from spikern.types import InputError

Answer = Literal["every_step", "mean", "last"]
TOLERANCE = 0.05
MODELS = (*(n.name for n in NEURONS.values() if n.spikes), *BASELINES)


class Activity(NamedTuple):
    """What one forward pass did: the logits and the output of every hidden layer, (T, B, H).

    logits (B, C), or (T, B, C) if the answer is wanted at every step.
    """

    logits: Tensor
    hidden: list[Tensor]


class Network(nn.Module):
    """Body and readout: `logits, state = network(x, state, lengths)`, x (T, B, F).

    Spiking networks are read out by leaky integrators, standard ones by a linear map. The answer
    is the readout at `every_step`, or over a whole sequence its `mean` or `last` valid step. A
    linear map is applied after the mean, which gives the same at a fraction of the operations.

    >>> network = build("LIF", 3, 16, 2)
    >>> logits, state = network(torch.randn(20, 4, 3))
    >>> logits.shape
    torch.Size([4, 2])
    """

    def __init__(
        self, body: SpikingRNN | Baseline, readout: Readout | nn.Linear, answer: Answer
    ) -> None:
        super().__init__()
        boundary.check_choice("answer", answer, ANSWERS)
        if isinstance(body, SpikingRNN) and body.batch_first:
            raise InputError("a network runs over (T, B, F); make its body with batch_first=False")
        self.body = body
        self.readout = readout
        self.answer = answer

    @property
    def spiking(self) -> bool:
        """Whether the hidden layers speak in spikes."""
        return isinstance(self.body, SpikingRNN)

    @property
    def parameter_count(self) -> int:
        """Trainable numbers, the trained time constants among them."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def run(
        self, x: Tensor, state: Any = None, lengths: Tensor | None = None
    ) -> tuple[Activity, Any]:
        """One forward pass with everything that it did, and the state of body and readout."""
        inner, outer = (None, None) if state is None else state
        if isinstance(self.body, SpikingRNN):
            hidden, inner = self.body.unroll(x, inner, lengths)
        else:
            out, inner = self.body(x, inner, lengths)
            hidden = [out]
        if isinstance(self.readout, Readout):
            steps, outer = self.readout(hidden[-1], outer, lengths)
            logits = ANSWERS[self.answer](steps, lengths)
        else:
            logits = self.readout(ANSWERS[self.answer](hidden[-1], lengths))
        return Activity(logits, hidden), (inner, outer)

    def forward(
        self, x: Tensor, state: Any = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """Logits and state."""
        activity, after = self.run(x, state, lengths)
        return activity.logits, after


def every_step(x: Tensor, lengths: Tensor | None) -> Tensor:
    """All steps of x (T, B, C) as they are."""
    return x


def last_step(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Each sample's last valid step of x (T, B, C): (B, C)."""
    if lengths is None:
        return x[-1]
    return x[lengths - 1, torch.arange(x.shape[1], device=x.device)]


def mean_step(x: Tensor, lengths: Tensor | None) -> Tensor:
    """The mean over each sample's valid steps of x (T, B, C): (B, C)."""
    if lengths is None:
        return x.mean(0)
    valid = (torch.arange(x.shape[0], device=x.device)[:, None] < lengths).unsqueeze(2)
    return (x * valid).sum(0) / lengths.unsqueeze(1)


ANSWERS = {"every_step": every_step, "mean": mean_step, "last": last_step}


def build(
    model: str,
    input_size: int,
    hidden_size: int,
    classes: int,
    answer: Answer = "last",
    num_layers: int = 1,
    **settings: Any,
) -> Network:
    """A network by name: a spiking neuron of the table or RNN, GRU, LSTM.

    `settings` (dt, surrogate, engine, recurrent) go to SpikingRNN; a standard model takes none.
    """
    boundary.check_choice("model", model, MODELS)
    allowed = () if model in BASELINES else ("dt", "surrogate", "engine", "recurrent")
    unknown = [name for name in settings if name not in allowed]
    if unknown:
        raise InputError(
            f"{model} takes no {', '.join(unknown)}; "
            f"it takes {', '.join(allowed) or 'no settings'} here"
        )
    if model in BASELINES:
        body = Baseline(model, input_size, hidden_size, num_layers)
        return Network(body, nn.Linear(hidden_size, classes), answer)
    spiking = SpikingRNN(model, input_size, hidden_size, num_layers, **settings)
    return Network(spiking, Readout(hidden_size, classes, dt=spiking.dt), answer)


def hidden_for_budget(
    model: str, input_size: int, classes: int, parameters: int, num_layers: int = 1
) -> int:
    """The hidden size whose parameter count comes nearest to a budget, within 5 %.

    >>> hidden_for_budget("LSTM", 1, 10, 20_000)
    68
    """

    def count(hidden: int) -> int:
        return build(model, input_size, hidden, classes, num_layers=num_layers).parameter_count

    # A count is c + b h + a h^2, so three small networks tell it for every h.
    one, two, three = (count(h) for h in (1, 2, 3))
    a = (three - 2 * two + one) / 2
    b = two - one - 3 * a
    c = one - a - b
    root = math.sqrt(max(b * b - 4 * a * (c - parameters), 0.0))
    hidden = max(round((root - b) / (2 * a)), 1)
    nearest = round(c + b * hidden + a * hidden * hidden)
    if abs(nearest - parameters) > TOLERANCE * parameters:
        raise InputError(
            f"{model} cannot come within {TOLERANCE:.0%} of {parameters} parameters; "
            f"the nearest is {nearest} with {hidden} hidden"
        )
    return hidden
