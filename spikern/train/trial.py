"""One trial: a fresh network is trained, tested once, and what it did is counted."""

from __future__ import annotations

import functools
import operator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from spikern import cost
from spikern._utils.provenance import device_name
from spikern._utils.seeds import seeded
from spikern.cost.counts import Counts
from spikern.data.dataset import UNLABELLED, Dataset
from spikern.events import valid_steps
from spikern.layers.baseline import BASELINES, Baseline
from spikern.layers.network import Answer, Network, build, evaluating
from spikern.layers.per_layer import PerLayer
from spikern.neurons.model import NeuronModel
from spikern.train.batches import carried, in_order
from spikern.train.evaluation import evaluate
from spikern.train.loop import fit
from spikern.train.training import Training

COUNT_BATCH = 256


def fresh_network(
    model: PerLayer[str | NeuronModel],
    hidden: PerLayer[int],
    dataset: Dataset,
    seed: int,
    answer: Answer = "last",
    layers: int = 1,
    chrono: int | None = None,
    **settings: Any,
) -> Network:
    """The untrained network of a model for a data set; the seed decides every number in it.

    `chrono` is the longest memory in steps for which the gates' biases of a standard body are
    drawn; `settings` are those of a spiking body, as `spikern.build` takes them.

    >>> from spikern.data import load
    >>> fresh_network("LIF", 8, load("digits"), seed=0).parameter_count
    188
    """
    if not (isinstance(model, str) and model in BASELINES):
        settings = {"dt": dataset.dt} | settings
    wanted: Answer = "every_step" if dataset.every_step else answer
    with seeded(seed):
        made = build(model, dataset.input_size, hidden, dataset.classes, wanted, layers, **settings)
        if chrono is not None and isinstance(made.body, Baseline):
            made.body.remember(chrono)
    return made


def train_and_test(
    network: Network,
    dataset: Dataset,
    training: Training,
    seed: int,
    checkpoint: str | Path | None = None,
    encoder: str | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Train with selection on validation, look at the test split once, count.

    The result can be written as JSON; see the description of a job in docs/studies.md. The loss is
    the mean cross-entropy of an answer, in nats. Energies are estimates in pJ per inference, by
    table; None where a table cannot price what was done. `encoder` names what made the data set's
    events, which is counted too. With `checkpoint`, a killed trial is resumed. On another `device`
    than the CPU the network only trains; it is tested and counted on the CPU. Raises what
    `spikern.train.fit` raises.
    """
    history = fit(network, dataset, training, seed, checkpoint, device=device, bar=False)
    engine = network.body.engine
    network.cpu()
    test = evaluate(network, dataset.test, carry_state=training.carry_state)
    counted = count_split(network, dataset, encoder, training.carry_state)
    inferences = len(dataset.test)
    kept = history.kept
    result = {
        "kind": "spiking" if network.spiking else "standard",
        "engine": engine,
        "parameters": network.parameter_count,
        "validation_accuracy": kept.validation_accuracy,
        "validation_loss": kept.validation_loss,
        "test_accuracy": test.accuracy,
        "test_loss": test.loss,
        "rates": test.rates,
        "ops": {name: asdict(layer) for name, layer in counted.by_layer.items()},
        "inferences": inferences,
        "energy_pj": {
            table.name: None if pj is None else pj / inferences
            for table in cost.tables().values()
            for pj in [cost.estimate(counted.ops, table)]
        },
        "best_epoch": history.best_epoch,
        "epochs": [e._asdict() for e in history.epochs],
        "seconds": sum(e.seconds for e in history.epochs),
        "trained_on": device_name(device),
    }
    if dataset.label_of_unlabelled is not None:
        y, valid = dataset.test.y, valid_steps(dataset.test.lengths, len(dataset.test.y))
        labels = torch.where(y == UNLABELLED, dataset.label_of_unlabelled, y)
        right = (test.predictions == labels)[valid]
        result["test_accuracy_all_steps"] = float(right.double().mean())
    return result


def count_split(
    network: Network, dataset: Dataset, encoder: str | None = None, carry_state: bool = False
) -> Counts:
    """The counts of all test inferences together, the encoder of events among them.

    `carry_state` is that of `evaluate`.
    """
    parts, state = [], None
    with evaluating(network):
        for indices in in_order(dataset.test, COUNT_BATCH, carry_state):
            batch = dataset.test.batch(indices)
            state = carried(state, len(batch)) if carry_state else None
            parts.append(
                cost.count(network, batch.x, batch.lengths, dataset.events, encoder, state)
            )
            if carry_state:
                _, state = network.run(batch.x, state, batch.lengths)
    return functools.reduce(operator.add, parts)
