"""Fair twins of a spiking network: standard ones in int8, pruned, and at equal accuracy.

Pruning removes the weights of smallest magnitude over all connections together, exactly as many as
the density says; biases stay. While the mask is held a pruned weight has no gradient, so Adam,
whose moments start at zero, leaves it at exactly zero, with weight decay or without.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from spikern._utils.errors import InputError, UnsupportedError
from spikern.data.dataset import UNLABELLED, Dataset, Split
from spikern.interop.onnx import Logits, int8_graph, logits_of
from spikern.layers.connectivity import existing_matrix
from spikern.layers.network import Network
from spikern.studies import runner
from spikern.studies.trainings import TrainingJob, load_dataset, trained_network, validate
from spikern.train.evaluation import answers_of, evaluate
from spikern.train.loop import History, fit
from spikern.train.quantisation import int8_weights
from spikern.train.training import Training


class Int8(NamedTuple):
    """Accuracy on one split in int8 and in float32, and the share of equal answers."""

    scheme: str
    accuracy: float
    float_accuracy: float
    agreement: float


def predictions(logits: Logits, split: Split, batch_size: int = 256) -> Tensor:
    """The answers to a split, (N,), or (T, N) with zeros past a sample's length."""
    found = torch.zeros_like(split.y)
    for indices in torch.split(torch.arange(len(split)), batch_size):
        batch = split.batch(indices)
        answers = answers_of(logits(batch.x, batch.lengths), batch.lengths)
        if answers.ndim == 2:
            found[: len(answers), indices] = answers
        else:
            found[indices] = answers
    return found


def measured_graph(network: Network, split: Split, carry_state: bool = False) -> Int8:
    """The accuracy of `int8_graph` on a split, run by ONNX Runtime.

    Raises UnsupportedError with `carry_state`: the graph begins every sequence anew.
    """
    if carry_state:
        raise UnsupportedError(
            "the graph for ONNX Runtime starts every sequence from the zero state, and this "
            "network was trained with the state carried on"
        )
    answers = predictions(logits_of(int8_graph(network)), split)
    return beside("dynamic int8, ONNX Runtime", answers, network, split, carry_state)


def measured_weights(network: Network, split: Split, carry_state: bool = False) -> Int8:
    """The accuracy of `int8_weights` on a split, run by torch; `carry_state` as in `evaluate`."""
    answers = evaluate(int8_weights(network), split, carry_state=carry_state).predictions
    scheme = "weight-only int8, simulated in float32"
    return beside(scheme, answers, network, split, carry_state)


def beside(scheme: str, answers: Tensor, network: Network, split: Split, carry_state: bool) -> Int8:
    """The labelled answers in int8 beside those of the network as it is."""
    in_float = evaluate(network, split, carry_state=carry_state)
    labelled = split.y != UNLABELLED

    def share(same: Tensor) -> float:
        return float(same[labelled].double().mean())

    agreement = share(answers == in_float.predictions)
    return Int8(scheme, share(answers == split.y), in_float.accuracy, agreement)


class Pruned(NamedTuple):
    """A pruned network, its density, the history of its fine-tuning, and its test accuracy."""

    network: Network
    density: float
    history: History
    test_accuracy: float


def connections(network: Network) -> dict[str, Tensor]:
    """The weight matrices of a network by name, with 0 where there is no synapse."""
    return {
        f"{path}.{name}": existing_matrix(module, name)
        for path, module in network.named_modules()
        for name, weight in module.named_parameters(recurse=False)
        if weight.ndim == 2 and "weight" in name
    }


def density(network: Network) -> float:
    """The share of a network's connections that exist, that is, whose weight is not zero.

    >>> from spikern import build
    >>> density(build("LIF", 3, 8, 2))
    1.0
    """
    weights = connections(network).values()
    return sum(int(w.count_nonzero()) for w in weights) / sum(w.numel() for w in weights)


def magnitude_masks(weights: Mapping[str, Tensor], kept: float) -> dict[str, Tensor]:
    """Which weights stay: the `kept` share with the largest magnitude of all together.

    >>> magnitude_masks({"a": torch.tensor([[3.0, -1.0]]), "b": torch.tensor([[0.5, -2.0]])}, 0.5)
    {'a': tensor([[ True, False]]), 'b': tensor([[False,  True]])}
    """
    if not 0 < kept <= 1:
        raise InputError(f"the density of a pruned network lies in 0..1, got {kept}")
    flat = torch.cat([w.detach().abs().flatten() for w in weights.values()])
    mask = torch.zeros_like(flat, dtype=torch.bool)
    mask[flat.topk(round(kept * len(flat))).indices] = True
    parts = torch.split(mask, [w.numel() for w in weights.values()])
    return {name: part.view_as(w) for (name, w), part in zip(weights.items(), parts)}


@contextmanager
def held(network: Network, masks: Mapping[str, Tensor]) -> Iterator[None]:
    """Inside, the weights outside of their masks are zero and stay it."""
    hooks = []
    for name, weight in connections(network).items():
        mask = masks[name].to(weight.dtype)
        with torch.no_grad():
            weight.mul_(mask)
        hooks.append(weight.register_hook(partial(torch.mul, mask)))  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def prune(
    network: Network, kept: float, dataset: Dataset, training: Training, seed: int = 0
) -> Pruned:
    """A copy of a trained standard network, pruned to the density `kept` and fine-tuned.

    `training` says for how many epochs; the epoch that is best on validation is kept,
    and the test split is looked at once.

    Raises InputError for a spiking network, or a density outside 0..1.
    """
    if network.spiking:
        raise InputError("the pruned twin is an RNN, GRU or LSTM; got a spiking network")
    pruned = copy.deepcopy(network)
    with held(pruned, magnitude_masks(connections(pruned), kept)):
        history = fit(pruned, dataset, training, seed, bar=False)
    tested = evaluate(pruned, dataset.test, carry_state=training.carry_state)
    return Pruned(pruned, density(pruned), history, tested.accuracy)


class SizeSearch(NamedTuple):
    """The search for the smallest standard model that is as accurate on validation as a target.

    trials         validation accuracy by hidden size, smallest first, up to the one that reached it
    network        the network that reached the target; None if none did
    test_accuracy  of that network; no other one is ever tested
    """

    target: float
    trials: dict[int, float]
    network: Network | None
    test_accuracy: float | None


def search_size(job: TrainingJob, sizes: Sequence[int], target: float, out: Path) -> SizeSearch:
    """Train a job at growing hidden sizes until its validation accuracy reaches `target`.

    The trainings are jobs of a study in `out`, so a search that was killed is resumed. Raises
    InputError for sizes that do not grow or a target outside 0..1.

    >>> from tempfile import mkdtemp
    >>> job = TrainingJob("digits", "RNN", 0, Training(epochs=1, batch_size=1258))
    >>> search = search_size(job, (2, 4), target=0.0, out=Path(mkdtemp()))
    >>> list(search.trials), search.network.body.hidden_size
    ([2], 2)
    """
    if not sizes or sizes[0] < 1 or any(a >= b for a, b in pairwise(sizes)):
        raise InputError(f"hidden sizes must grow from at least 1, got {list(sizes)}")
    if not 0 <= target <= 1:
        raise InputError(f"the target is an accuracy in 0..1, got {target}")
    trials: dict[int, float] = {}
    for hidden in sizes:
        sized = replace(job, hidden_size=hidden)
        (result,) = runner.run_all(validate, [sized], out, progress=False)
        trials[hidden] = result["validation_accuracy"]
        if trials[hidden] >= target:
            network = trained_network(sized, out)
            test = load_dataset(job.dataset, job.sequences, job.delta).test
            tested = evaluate(network, test, carry_state=job.training.carry_state)
            return SizeSearch(target, trials, network, tested.accuracy)
    return SizeSearch(target, trials, None, None)
