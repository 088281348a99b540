"""What a data set is: three splits of labelled sequences, checked when it is constructed."""

from __future__ import annotations

import functools
import hashlib
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from spikern._utils.display import Facts, shown_by
from spikern._utils.errors import InputError
from spikern._utils.numbers import check_counts, check_numbers
from spikern.data.splits import spread
from spikern.data.task import Task
from spikern.data.transforms import SOUND, TEXT, Transform, transformed
from spikern.events.trains import INTEGERS, Events, dense, valid_steps

SHOWN = 12
"""Classes that are named where a data set shows itself."""
UNLABELLED = -100
"""The label of a step without a label: the `ignore_index` of torch's cross entropy."""


def _of_split(split: Split) -> Facts:
    _, sequences, features = split.x.shape
    low, high = int(split.lengths.min()), int(split.lengths.max())
    return {
        "sequences": f"{sequences:,}",
        "steps": f"{low} to {high}" if low < high else str(high),
        "features": features,
        "label per": "sequence" if split.y.ndim == 1 else "step",
    }


def _of_dataset(dataset: Dataset) -> Facts:
    names = dataset.class_names
    shown = names if len(names) <= SHOWN else (*names[:SHOWN], "...")
    parts = {part: getattr(dataset, part) for part in ("train", "validation", "test")}
    return {
        "name": dataset.name,
        **{part: f"{len(split):,}" for part, split in parts.items()},
        "steps": f"up to {len(dataset.train.x)} of {dataset.dt:g} ms",
        "features": f"{dataset.input_size}{' of events' if dataset.events else ''}",
        "label per": "step" if dataset.every_step else "sequence",
        "classes": f"{len(names)}: {', '.join(shown)}",
    }


@shown_by(_of_split)
@dataclass(frozen=True, eq=False)
class Split(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Sequences and their labels; a torch Dataset, whose DataLoader takes `collate_fn=collate`.

    x        (T, N, F) float32, or `Events` of that shape; zero after a sequence's last step
    y        (N,) int64, one label per sequence; or (T, N), one per step, or UNLABELLED
    lengths  (N,) int64, the valid steps of each sequence

    >>> from spikern.data import collate, load
    >>> loader = torch.utils.data.DataLoader(load("digits").train, 32, collate_fn=collate)
    >>> next(iter(loader)).x.shape
    torch.Size([64, 32, 1])
    """

    x: Tensor | Events
    y: Tensor
    lengths: Tensor

    def __len__(self) -> int:
        return self.x.shape[1]

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return a sequence (T, F), as long as it is, and its label, or its labels (T,)."""
        try:
            index = operator.index(index)
        except TypeError:
            raise InputError(
                f"expected the index of one sequence, got {index!r:.60}; several are chosen by "
                f"select([0, 1])"
            ) from None
        if not -len(self) <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)}")  # ends a loop over the split
        batch = self.batch([index % len(self)])
        return batch.x[:, 0], batch.y[..., 0]

    def batch(self, indices: Tensor | Sequence[int]) -> Batch:
        """Return the chosen sequences, cut to the longest of them, as a tensor.

        >>> split = Split(torch.zeros(9, 2, 1), torch.tensor([0, 1]), torch.tensor([9, 4]))
        >>> split.batch([1]).x.shape
        torch.Size([4, 1, 1])
        """
        chosen = self.select(indices)
        return Batch(dense(chosen.x), chosen.y, chosen.lengths)

    def select(self, indices: Tensor | Sequence[int]) -> Split:
        """Return the chosen sequences, cut to the longest of them; events stay events."""
        chosen = torch.as_tensor(indices)
        if chosen.ndim != 1 or len(chosen) == 0 or chosen.dtype not in INTEGERS:
            raise InputError(
                f"expected at least one sequence index as a whole number, got "
                f"{tuple(chosen.shape)} of dtype {chosen.dtype}"
            )
        chosen = chosen.long()
        if int(chosen.min()) < 0 or int(chosen.max()) >= len(self):
            raise InputError(
                f"sequence indices must lie in 0..{len(self) - 1}, "
                f"got {int(chosen.min())}..{int(chosen.max())}"
            )
        lengths = self.lengths[chosen]
        steps = int(lengths.max())
        y = self.y[chosen] if self.y.ndim == 1 else self.y[:steps, chosen]
        if isinstance(self.x, Events):
            return Split(self.x.select(chosen).until(steps), y, lengths)
        return Split(self.x[:steps, chosen], y, lengths)

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> Self:
        """Return the sequences on a device, with x in a type if one is given.

        Events are float32; in another type they are a tensor.
        """
        x = self.x
        if isinstance(x, Events) and dtype in (None, torch.float32):
            x = x.to(device)
        else:
            x = dense(x).to(device=device, dtype=dtype)
        return replace(self, x=x, y=self.y.to(device), lengths=self.lengths.to(device))


@shown_by(_of_split)
@dataclass(frozen=True, eq=False)
class Batch(Split):
    """A split whose x is a tensor, the input of a network."""

    x: Tensor


def collate(sequences: Sequence[tuple[Tensor, Tensor | int]]) -> Batch:
    """Return the batch of sequences (T, F) of any lengths and their labels: the items of a split.

    A label is a number, or one per step, (T,). Raises InputError, naming the sequence, for
    sequences of other shapes or numbers of features, and for labels of both kinds.

    >>> collate([(torch.ones(3, 1), torch.tensor(0)), (torch.ones(2, 1), torch.tensor(1))]).lengths
    tensor([3, 2])
    """
    for k, pair in enumerate(sequences):
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], Tensor)):
            raise InputError(
                f"sequence {k}: expected (x, y) with x a tensor (T, F), got {type(pair).__name__}"
                f"{f' of {type(pair[0]).__name__}' if isinstance(pair, tuple) and pair else ''}"
            )
    if not sequences:
        raise InputError("expected at least one sequence, got none")
    inputs, labels = [x for x, _ in sequences], [_label(k, y) for k, (_, y) in enumerate(sequences)]
    for k, (x, y) in enumerate(zip(inputs, labels)):
        if x.ndim != 2 or x.shape[1:] != inputs[0].shape[1:]:
            raise InputError(
                f"sequence {k}: expected (T, F) with as many features as the first, got "
                f"{tuple(x.shape)} after {tuple(inputs[0].shape)}"
            )
        if y.ndim != labels[0].ndim or y.ndim > 1:
            raise InputError(
                f"sequence {k}: expected a label of the sequence or of every step, as the first "
                f"has, got labels of shape {tuple(y.shape)} after {tuple(labels[0].shape)}"
            )
        if y.ndim and len(y) != len(x):
            raise InputError(f"sequence {k} has {len(x)} steps and {len(y)} labels of steps")
    y = torch.stack(labels) if labels[0].ndim == 0 else pad_sequence(labels, False, UNLABELLED)
    return Batch(pad_sequence(inputs), y, torch.tensor([len(x) for x in inputs]))


def _label(k: int, y: Any) -> Tensor:
    """The label of sequence k, or InputError."""
    try:
        return torch.as_tensor(y)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"sequence {k}: expected whole numbers as labels, got {y!r:.60}"
        ) from error


def collate_events(sequences: Sequence[tuple[Tensor, Tensor]]) -> Split:
    """Return the same batch as index lists of events, which the fused kernels read as they are.

    The workers of a DataLoader list the events of one batch while another trains.

    >>> pairs = [(torch.eye(3), torch.tensor(0)), (torch.eye(3)[:2], torch.tensor(1))]
    >>> collate_events(pairs).x.offsets.diff().tolist()  # by step and sequence
    [1, 1, 1, 1, 1, 0]
    """
    batch = collate(sequences)
    return Split(Events.from_dense(batch.x), batch.y, batch.lengths)


@shown_by(_of_dataset)
@dataclass(frozen=True, eq=False)
class Dataset:
    """A classification task. Raises InputError if the splits do not match the declaration.

    every_step           one label per step instead of one per sequence
    events               the input is declared as events in {-1, 0, 1}; never guessed from values
    dt                   milliseconds per step, the scale of a neuron's time constants
    label_of_unlabelled  the class that a published protocol gives to unlabelled steps, if any
    transforms           what raw readings went through to become x; None if it is not known
    """

    name: str
    title: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    every_step: bool
    events: bool
    source: str
    licence: str
    dt: float
    label_of_unlabelled: int | None = None
    transforms: tuple[Transform, ...] | None = ()

    def __post_init__(self) -> None:
        names = self.class_names
        if not isinstance(names, tuple | list) or not all(isinstance(n, str) for n in names):
            raise InputError(
                f"{self.name}: class_names must be a tuple of texts, got {names!r:.60}"
            )
        if "" in names:
            raise InputError(f"{self.name}: a class has no name; an empty label is none")
        twice = [name for name in set(self.class_names) if self.class_names.count(name) > 1]
        if twice:
            raise InputError(f"{self.name}: two classes have the name {', '.join(sorted(twice))}")
        for part in ("train", "validation", "test"):
            split = getattr(self, part)
            where = f"{self.name}, {part}"
            check_shapes(where, split, self.every_step)
            check_values(where, split, self.classes, self.events)
            if split.x.shape[2] != self.input_size:
                raise InputError(
                    f"{where}: expected {self.input_size} features as in train, "
                    f"got {split.x.shape[2]}"
                )
        check_numbers(dt=self.dt)
        if not self.dt > 0:
            raise InputError(f"{self.name}: dt must be above 0 ms, got {self.dt}")
        label = self.label_of_unlabelled
        if label is not None and not (self.every_step and 0 <= label < self.classes):
            raise InputError(
                f"{self.name}: label_of_unlabelled needs one label per step and a class in "
                f"0..{self.classes - 1}, got {label}"
            )

    def with_splits(self, change: Callable[[Split], Split], **changes: Any) -> Dataset:
        """Return the data set with `change` applied to every split, and new values of fields."""
        for part in ("train", "validation", "test"):
            changes[part] = change(getattr(self, part))
        return replace(self, **changes)

    @functools.cached_property
    def digest(self) -> str:
        """A hash of what a network is trained on and selected by: train and validation split."""
        return digest(self.train, self.validation)

    def with_input(self, encode: Callable[[Tensor], Tensor], **changes: Any) -> Dataset:
        """Return the data set with `encode` applied to x, a tensor, of every split.

        The result must have as many steps as x; it is set to zero after a sequence's last step.
        `changes` are new values of other fields, such as name and events. Without `transforms`
        among them it is no longer known what raw readings went through.

        >>> from spikern.data import load
        >>> load("digits").with_input(lambda x: 2 * x, name="brighter").train.x.max()
        tensor(2.)
        """

        def changed(part: Split) -> Split:
            if isinstance(part.x, Events):
                raise InputError(f"{self.name} holds Events; encode tensors")
            padding = ~valid_steps(part.lengths, len(part.x)).unsqueeze(2)
            return replace(part, x=encode(part.x).masked_fill(padding, 0.0))

        return self.with_splits(changed, **{"transforms": None, **changes})

    def thinned(self, sequences: int) -> Dataset:
        """Return the data set with at most `sequences` per split, in equal shares of every class.

        Those with a label at every step are evenly spaced in the split, so that none follows
        another of one stream.

        >>> from spikern.data import load
        >>> len(load("digits").thinned(10).test)
        10
        """
        check_counts(sequences=sequences)

        def subset(part: Split) -> Split:
            labels = part.y if part.y.ndim == 1 else torch.zeros(len(part))
            chosen = torch.from_numpy(spread(labels, min(sequences, len(part))))
            x = part.x.select(chosen) if isinstance(part.x, Events) else part.x[:, chosen]
            return Split(x, part.y[..., chosen], part.lengths[chosen])

        return self.with_splits(subset)

    @property
    def task(self) -> Task | None:
        """What a network for it is to know; None if it is not known what readings went through.

        >>> from spikern.data import load
        >>> load("digits").task.transforms
        (Transform(name='divide', parameters={'by': 16}),)
        """
        if self.transforms is None:
            return None
        first = [t.name for t in self.transforms[:1]]
        features = 1 if set(first) & {*SOUND, *TEXT} else self.input_size
        return Task(self.name, self.class_names, self.dt, self.events, features, self.transforms)

    @property
    def input_size(self) -> int:
        """Features of one step, F."""
        return self.train.x.shape[2]

    @property
    def longest(self) -> int:
        """Steps of the longest sequence of all splits."""
        return max(len(part.x) for part in (self.train, self.validation, self.test))

    @property
    def classes(self) -> int:
        """Number of classes, C."""
        return len(self.class_names)

    @property
    def majority_accuracy(self) -> float:
        """Accuracy on the test labels of the most frequent train label as the only answer."""
        train = self.train.y[self.train.y != UNLABELLED]
        test = self.test.y[self.test.y != UNLABELLED]
        answer = torch.bincount(train, minlength=self.classes).argmax()
        return float((test == answer).double().mean())


def digest(*splits: Split) -> str:
    """Return a hash of the sequences, labels and lengths of splits."""
    content = hashlib.sha256()
    for split in splits:
        x = split.x
        parts = (x.offsets, x.indices, x.values) if isinstance(x, Events) else (x,)
        for tensor in (*parts, split.y, split.lengths):
            content.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            content.update(tensor.cpu().contiguous().numpy().tobytes())
    return content.hexdigest()[:16]


def check_shapes(
    where: str, split: Split, every_step: bool, dtype: torch.dtype = torch.float32
) -> None:
    """Require x (T, N, F) of a type, y int64 per sequence or step, lengths (N,) in 1..T."""
    x, y, lengths = split.x, split.y, split.lengths
    for name, value in (("x", x), ("y", y), ("lengths", lengths)):
        if not isinstance(value, Tensor) and not (name == "x" and isinstance(value, Events)):
            raise InputError(
                f"{where}: expected {name} as a torch tensor, got {type(value).__name__}; "
                f"torch.as_tensor makes one"
            )
    if isinstance(x, Tensor) and (x.ndim != 3 or x.dtype != dtype or x.numel() == 0):
        raise InputError(
            f"{where}: expected x as non-empty (T, N, F) {dtype}, got {tuple(x.shape)} {x.dtype}"
        )
    steps, count, _ = x.shape
    shape = (steps, count) if every_step else (count,)
    if tuple(y.shape) != shape or y.dtype != torch.int64:
        raise InputError(f"{where}: expected y as {shape} int64, got {tuple(y.shape)} {y.dtype}")
    if tuple(lengths.shape) != (count,) or lengths.dtype != torch.int64:
        raise InputError(
            f"{where}: expected lengths as {(count,)} int64, "
            f"got {tuple(lengths.shape)} {lengths.dtype}"
        )
    low, high = int(lengths.min()), int(lengths.max())
    if low < 1 or high > steps:
        raise InputError(f"{where}: lengths must lie in 1..{steps}, got {low}..{high}")


def check_values(where: str, split: Split, classes: int, events: bool) -> None:
    """Require finite input, zero padding, events if declared, labels within the classes."""
    y = split.y
    padding = ~valid_steps(split.lengths, len(split.x))
    if isinstance(split.x, Events):
        values = split.x.values
        silent = bool((split.x.lengths <= split.lengths).all())
    else:
        values = split.x
        silent = not bool(values.abs().amax(2)[padding].any())
    if not bool(torch.isfinite(values).all()):
        raise InputError(f"{where}: x holds NaN or infinite values; clean the sequences first")
    if not silent:
        raise InputError(f"{where}: x must be zero after a sequence's last step")
    if events and not bool(((values == 0) | (values.abs() == 1)).all()):
        raise InputError(f"{where}: declared as events, but x holds values other than -1, 0, 1")
    if y.ndim == 2 and not bool((y != UNLABELLED).any()):
        raise InputError(f"{where}: no step has a label")
    if y.ndim == 1 and bool((y == UNLABELLED).any()):
        raise InputError(f"{where}: every sequence needs a label, got {UNLABELLED}")
    check_labels(where, split, classes)


def check_labels(where: str, split: Split, classes: int) -> None:
    """Require labels within the classes or UNLABELLED, as they are after a sequence's last step."""
    y = split.y
    if y.ndim == 2 and bool((y[~valid_steps(split.lengths, len(y))] != UNLABELLED).any()):
        raise InputError(
            f"{where}: the label of a step after a sequence's last must be {UNLABELLED}; "
            f"pad_sequence(labels, padding_value={UNLABELLED}) makes them so"
        )
    labels = y[y != UNLABELLED]
    if len(labels) and not (int(labels.min()) >= 0 and int(labels.max()) < classes):
        raise InputError(
            f"{where}: labels must lie in 0..{classes - 1} or be {UNLABELLED}, "
            f"got {int(labels.min())}..{int(labels.max())}"
        )


def encoded(dataset: Dataset, threshold: float) -> Dataset:
    """Return the data set with x as `delta` events, none after a sequence's last step.

    >>> from spikern.data import load
    >>> encoded(load("digits"), threshold=0.25).name
    'digits-delta0.25'
    """
    if dataset.events:
        raise InputError(f"{dataset.name} holds events already; give a dataset of analog input")
    delta = Transform("delta", {"threshold": threshold})
    known = dataset.transforms
    return dataset.with_input(
        lambda x: torch.from_numpy(transformed([delta], x.numpy())[0]),
        transforms=None if known is None else (*known, delta),
        name=f"{dataset.name}-delta{threshold:g}",
        title=f"{dataset.title}, as events at every change of {threshold:g}",
        events=True,
    )
