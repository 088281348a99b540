"""Networks that fit all labels, wrong ones too, and how steep they are: the job of this study.

What is kept for the next job of a process is here, since jobs reach other processes by the names of
modules that can be imported.
"""

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spikern import Network, SpikingRNN, load
from spikern.data import Dataset
from spikern.engines import fused
from spikern.layers.network import hidden_for_budget
from spikern.studies.robustness import noisy
from spikern.train import Training, evaluate, fit
from spikern.train.trial import fresh_network

Row = dict[str, Any]
WRONG = 0.2
"""The share of samples whose label is another class."""
LOOKED_AT = 200
"""Samples at which slopes are measured."""
RADIUS, DIRECTIONS = 0.5, 32
"""Length of the steps of the finite differences, and their number at every sample."""
NOISES = (0.1, 0.2, 0.4)
"""Deviations of the noise on the test images, whose pixels lie in 0..1."""


@dataclass(frozen=True)
class Fitting:
    """One training that is to fit all labels, wrong ones too."""

    model: str
    budget: int
    rate: float
    seed: int
    epochs: int
    samples: int


@functools.lru_cache(maxsize=2)
def noisy_digits(samples: int) -> Dataset:
    """Digits with wrong labels in the training part, which is the validation part too."""
    data = load("digits")
    generator = torch.Generator().manual_seed(0)
    train = data.train.select(torch.randperm(len(data.train), generator=generator)[:samples])
    wrong = torch.randperm(samples, generator=generator)[: round(WRONG * samples)]
    shift = torch.randint(1, data.classes, (len(wrong),), generator=generator)
    y = train.y.clone()
    y[wrong] = (y[wrong] + shift) % data.classes
    train = replace(train, y=y)
    return replace(data, train=train, validation=train)


def fitted(config: Fitting, checkpoint: Path) -> Row:
    """Train and measure; the weights are those of the epoch that fits most labels."""
    data = noisy_digits(config.samples)
    hidden = hidden_for_budget(config.model, data.input_size, data.classes, config.budget)
    network = fresh_network(config.model, hidden, data, config.seed, "mean")
    training = Training(epochs=config.epochs, batch_size=25, learning_rate=config.rate)
    fit(network, data, training, config.seed, checkpoint, bar=False)
    return {
        "parameters": network.parameter_count,
        "unfitted": 1 - evaluate(network, data.train).accuracy,
        "test": evaluate(network, data.test).accuracy,
        "noise": {
            str(level): evaluate(network, noisy(data.test, level, config.seed)).accuracy
            for level in NOISES
        },
        **slopes(network, data, config.seed),
    }


def slopes(network: Network, data: Dataset, seed: int) -> dict[str, float]:
    """The largest slopes of the probabilities at training samples.

    gradient    the spectral norm of their Jacobian; of a spiking network in smooth mode, whose
                neurons fire the primitive of the surrogate, since spikes have no gradient
    difference  |f(x + r u) - f(x)| / r over random unit vectors u, of the network as it is
    """
    x = data.train.x[:, :LOOKED_AT]
    given = x.clone().requires_grad_()
    rows = [
        torch.autograd.grad(each.sum(), given, retain_graph=True)[0].squeeze(-1)
        for each in smooth_probabilities(network, given).unbind(1)
    ]
    jacobians = torch.stack(rows).permute(2, 0, 1)
    generator = torch.Generator().manual_seed(seed)
    largest = 0.0
    with torch.no_grad():
        here = network(x)[0].softmax(-1)
        for _ in range(DIRECTIONS):
            step = torch.randn(x.shape, generator=generator)
            step *= RADIUS / step.norm(dim=0)
            moved = (network(x + step)[0].softmax(-1) - here).norm(dim=1)
            largest = max(largest, float(moved.max()) / RADIUS)
    return {
        "gradient": float(torch.linalg.matrix_norm(jacobians, 2).max()),
        "difference": largest,
    }


def smooth_probabilities(network: Network, x: Tensor) -> Tensor:
    """The probabilities (B, C), with neurons that fire smoothly."""
    body = network.body
    if not isinstance(body, SpikingRNN):
        return network(x)[0].softmax(-1)
    states, _ = body.initial_states(None, x.shape[1])
    out = fused.run_stack(body.populations(), states, x, smooth=True).out
    return network.readout(out)[0].mean(0).softmax(-1)
