"""One training as a job: a frozen description, and functions of it that train."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from glob import escape
from pathlib import Path
from typing import Any

from spikern import data
from spikern._utils.choices import check_choice
from spikern._utils.errors import DataError, DivergedError, InputError
from spikern._utils.provenance import device_name
from spikern.data.catalogue import own_path
from spikern.data.dataset import Dataset, digest, encoded
from spikern.data.own import stem
from spikern.events.trains import dense, valid_steps
from spikern.layers.baseline import BASELINES
from spikern.layers.network import MODELS, Answer, Network, hidden_for_budget
from spikern.neurons import LI, NEURONS, SURROGATES, NeuronModel
from spikern.studies.jobs import Name, files, key
from spikern.studies.robustness import robustness
from spikern.train.checkpoint import read_header
from spikern.train.loading import load_network
from spikern.train.loop import fit
from spikern.train.progress import Epoch
from spikern.train.training import Training
from spikern.train.trial import fresh_network, train_and_test

LEVELS: dict[str, tuple[float, ...]] = {
    "input noise": (0.0, 0.2, 0.5, 1.0),
    "dropped events": (0.0, 0.1, 0.3, 0.5),
    "weights": (0.0, 0.1, 0.2, 0.4),
}
"""The levels of every disturbance; noise is in standard deviations of the training input, without
the padding after the end of its sequences."""
DISTURBED = 2_000
"""At most this many test sequences are disturbed, the same share of every class."""


@dataclass(frozen=True)
class ConstantDraw:
    """How a constant of a neuron is drawn, where it differs from the neuron's own; None: as there.

    Values are drawn around `mean` with a `spread`, or uniformly within `span`.
    """

    symbol: str
    mean: float | None = None
    spread: float | None = None
    span: tuple[float, float] | None = None
    trainable: bool | None = None

    def of(self, neuron: NeuronModel) -> NeuronModel:
        """The neuron with its constant drawn so."""
        changes = {name: value for name, value in asdict(self).items() if value is not None}
        return neuron.with_constant(changes.pop("symbol"), **changes)


SIZING = ("delay", "recurrent_delay", "learn_delays", "experts", "awake", "routing")
"""The settings of an architecture on which the parameters at a width depend."""


@dataclass(frozen=True)
class Architecture:
    """The structure of a network; all but `layers`, `experts`, `awake` and `chrono` are of spiking
    networks."""

    layers: int = 1
    recurrent: bool | str | float = True
    """Recurrence: all neurons, none, "diagonal", or a share of the synapses."""
    trained_constants: bool = True
    """Train the constants of the neurons of the body."""
    surrogate: str = "triangular"
    surrogate_settings: tuple[float, ...] = ()
    """Settings of the surrogate, its width first; none: its defaults."""
    dropout: float = 0.0
    delay: int = 0
    recurrent_delay: int = 1
    learn_delays: bool = False
    experts: int = 1
    """Groups of neurons, or banks of recurrent weights of a standard network."""
    awake: int = 1
    """How many of them the input wakes."""
    routing: str = "fixed"
    """What names them: a table, or, of spiking networks, a router that learns ("learned")."""
    sleep: str = "frozen"
    """What the state of the others does in spiking networks: it stands still, or is "decaying"."""
    constants: tuple[ConstantDraw, ...] = ()
    readout_constants: tuple[ConstantDraw, ...] = ()
    chrono: int | None = None
    """Longest memory, in steps, that the gates of LSTM and GRU start with; None: as they are."""

    def settings(self) -> dict[str, Any]:
        """The settings of a spiking body, as `spikern.build` takes them."""
        names = ("recurrent", "dropout", "sleep", *SIZING)
        check_choice("surrogate", self.surrogate, SURROGATES)
        surrogate = SURROGATES[self.surrogate](*self.surrogate_settings)
        return {name: getattr(self, name) for name in names} | {"surrogate": surrogate}


AS_BUILT = Architecture()
"""The structure that `spikern.build` gives a network by default."""


@dataclass(frozen=True)
class TrainingJob:
    """One training of one model with one seed."""

    dataset: str
    model: str
    seed: int
    training: Training
    budget: int | None = None
    """Parameter budget that the model is brought to, within 5 %."""
    hidden_size: int | tuple[int, ...] | None = None
    """Hidden units of all layers, or of each, instead of a budget."""
    answer: Answer = "last"
    architecture: Architecture = AS_BUILT
    sequences: int | None = None
    """Sequences of every split, the same share of every class; None: all."""
    delta: float | None = None
    """Threshold that encodes an analog input as events; None: no encoding."""


def load_dataset(name: str, sequences: int | None = None, delta: float | None = None) -> Dataset:
    """A data set, thinned and encoded as asked for; kept for the next job of this process.

    A file or folder of one's own that has changed is read again.
    """
    return loaded(name, sequences, delta, versions_of(own_path(name)))


def versions_of(path: Path | None) -> tuple[tuple[str, int, int], ...]:
    """Names, times of change in ns and sizes of the files of a data set of one's own.

    Those of a file's two parts, NAME_TRAIN and NAME_TEST, are all that begin with NAME.
    """
    if path is None or not path.parent.is_dir():
        return ()
    found = path.rglob("*") if path.is_dir() else path.parent.glob(f"{escape(stem(path))}*")
    files = [(str(file), file.stat()) for file in sorted(found) if file.is_file()]
    return tuple((name, status.st_mtime_ns, status.st_size) for name, status in files)


@functools.lru_cache(maxsize=2)
def loaded(name: str, sequences: int | None, delta: float | None, versions: Any) -> Dataset:
    """`load_dataset`, of files in these versions."""
    dataset = data.load(name)
    if sequences is not None:
        dataset = dataset.thinned(sequences)
    return dataset if delta is None else encoded(dataset, delta)


def digest_of(dataset: Dataset) -> str:
    """A digest of all that is trained, selected and tested on."""
    return digest(dataset.train, dataset.validation, dataset.test)


def check_same_data(dataset: Dataset, found: str | None, path: Path) -> None:
    """Raise DataError unless a data set has the digest that a file has of it, if it has one.

    Version 0.1.0 wrote none.
    """
    came = digest_of(dataset)
    if found not in (None, came):
        raise DataError(
            f"{dataset.name} is not what it was when the trainings in {path.parent} began: its "
            f"digest is {found} in {path.name} and {came} now; bring its files back, or train in "
            f"another folder"
        )


def prepare(job: TrainingJob) -> tuple[Network, Dataset]:
    """The fresh network of a job, and its data."""
    dataset = load_dataset(job.dataset, job.sequences, job.delta)
    model, settings = model_of(job)
    structure = job.architecture
    hidden = job.hidden_size
    if hidden is None and job.budget is not None:
        # An ablation keeps its width, so recurrence and dropout do not count here.
        sizes = {name: settings[name] for name in SIZING if name in settings}
        hidden = hidden_for_budget(
            model, dataset.input_size, dataset.classes, job.budget, structure.layers, **sizes
        )
    elif hidden is None or job.budget is not None:
        got = "neither" if hidden is None else "both"
        raise InputError(f"a training needs hidden_size= or budget=, got {got}: {job}")
    network = fresh_network(
        model, hidden, dataset, job.seed, job.answer, structure.layers, structure.chrono, **settings
    )
    if not structure.trained_constants:
        for name, parameter in network.body.named_parameters():
            parameter.requires_grad_(not name.startswith("raw_"))
    return network, dataset


def model_of(job: TrainingJob) -> tuple[str | NeuronModel, dict[str, Any]]:
    """The model of a job, and the settings that `fresh_network` takes with it."""
    structure = job.architecture
    if job.model in BASELINES:
        return job.model, {"experts": structure.experts, "awake": structure.awake}
    check_choice("model", job.model, MODELS)
    neuron, readout = NEURONS[job.model], LI
    for draw in structure.constants:
        neuron = draw.of(neuron)
    for draw in structure.readout_constants:
        readout = draw.of(readout)
    return neuron, structure.settings() | {"readout": readout}


def train(job: TrainingJob, checkpoint: Path, device: str | None = None) -> dict[str, Any]:
    """Train, test once and count; see `train_and_test`, and "hidden" and "bits" per answer."""
    return _trained(job, checkpoint, device)[0]


def train_and_disturb(
    job: TrainingJob, checkpoint: Path, device: str | None = None
) -> dict[str, Any]:
    """Train as `train` does, without the epochs, which the checkpoint has; with the robustness.

    Raises DivergedError for a training that fell apart, since its best epoch is not its end.
    """
    result, network, dataset = _trained(job, checkpoint, device)
    epochs = result.pop("epochs")
    losses = [epoch["loss"] for epoch in epochs]
    if fell_apart(losses):
        raise DivergedError(
            f"training fell apart: its loss was {losses[0]:.3g} in the first epoch, "
            f"{min(losses):.3g} in the best and {losses[-1]:.3g} in the last; lower the learning "
            f"rate (now {job.training.learning_rate:g})"
        )
    curves = {
        name: [epoch[f"validation_{value}"] for epoch in epochs]
        for name, value in (("curve", "accuracy"), ("loss_curve", "loss"))
    }
    disturbed = disturb(network, dataset, job.training.carry_state)
    return result | curves | {"robustness": disturbed}


def fell_apart(losses: Sequence[float]) -> bool:
    """Whether a training lost what it had learned, by the mean loss of every epoch.

    At the end it is no better than in the first epoch, and was twice as good in between.

    >>> fell_apart([1.4, 0.6, 2.3]), fell_apart([1.4, 0.6, 0.7]), fell_apart([0.69, 0.68, 0.70])
    (True, False, False)
    """
    return 2 * min(losses) <= losses[0] <= losses[-1]


def _trained(
    job: TrainingJob, checkpoint: Path, device: str | None = None
) -> tuple[dict[str, Any], Network, Dataset]:
    network, dataset = prepare(job)
    encoder = None if job.delta is None else "delta"
    result = train_and_test(network, dataset, job.training, job.seed, checkpoint, encoder, device)
    bits = {"hidden": network.body.hidden_size, "bits": result["test_loss"] / math.log(2)}
    return result | bits, network, dataset


def disturb(
    network: Network, dataset: Dataset, carry_state: bool = False
) -> dict[str, list[list[float]]]:
    """[level, test accuracy] at the LEVELS of everything that can disturb these data or weights.

    With `carry_state` all sequences are disturbed, since thinned ones are not consecutive.
    """
    name = "dropped events" if dataset.events else "input noise"
    unit = 1.0
    if not dataset.events:
        x, lengths = dense(dataset.train.x), dataset.train.lengths
        unit = float(x[valid_steps(lengths, len(x))].std())
    fewer = dataset if carry_state else dataset.thinned(DISTURBED)
    curves = {}
    for disturbance, scale in ((name, unit), ("weights", 1.0)):
        scaled = {level: scale * level for level in LEVELS[disturbance]}
        accuracies = robustness(
            network, fewer, disturbance, [*scaled.values()], carry_state=carry_state
        )
        curves[disturbance] = [[level, accuracies[of]] for level, of in scaled.items()]
    return curves


def validate(job: TrainingJob, checkpoint: Path, device: str | None = None) -> dict[str, Any]:
    """Accuracy and loss on validation of the epoch that is kept; the test split is not looked at.

    A training that diverges has accuracy 0 and no loss. `seconds` are those of its epochs, in this
    call and in those that it goes on from.
    """
    network, dataset = prepare(job)
    try:
        history = fit(
            network, dataset, job.training, job.seed, checkpoint, device=device, bar=False
        )
        kept = history.kept
        accuracy, loss = kept.validation_accuracy, kept.validation_loss
    except DivergedError:
        accuracy, loss = 0.0, None
    return {
        "validation_accuracy": accuracy,
        "validation_loss": loss,
        "seconds": _seconds_of(checkpoint),
        "trained_on": device_name(device),
    }


def hours_of(job: Any, out: Path, name: Name = key) -> float:
    """How long a job trained, by its checkpoint; one that diverged in its first epoch has none."""
    return _seconds_of(files(out, name(job)).checkpoint) / 3600


def _seconds_of(checkpoint: Path) -> float:
    """The seconds of all epochs of a training; none without a checkpoint."""
    if not checkpoint.exists():
        return 0.0
    return math.fsum(Epoch(*epoch).seconds for epoch in read_header(checkpoint)["epochs"])


def trained_network(job: TrainingJob, out: Path, name: Name = key) -> Network:
    """The network of a finished job, from its checkpoint."""
    return load_network(files(out, name(job)).checkpoint)
