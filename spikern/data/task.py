"""What a network was trained for, as plain data: from raw readings to the names of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikern._utils import json_file
from spikern._utils.display import table_of_fields
from spikern._utils.errors import DataError, InputError
from spikern.data.transforms import SOUND, TEXT, WHOLE, Floats, Transform, transformed

FORM = {
    "dataset": str,
    "class_names": [str],
    "dt": int | float,
    "events": bool,
    "features": int,
    "transforms": [{"name": str, "parameters": dict}],
}


@table_of_fields
class Prediction(NamedTuple):
    """Answers: of (N,) sequences, or of (T, N) steps.

    names          the most probable class of each; empty past a sequence's length
    probabilities  (..., C), the softmax of the logits; zero past a sequence's length
    logits         (..., C); without meaning past a sequence's length
    """

    names: NDArray[np.str_]
    probabilities: NDArray[Any]
    logits: NDArray[Any]


@table_of_fields
@dataclass(frozen=True)
class Task:
    """The data set of a network, and what raw readings go through before it.

    dataset      its name
    class_names  the names of the classes, in the order of the logits
    dt           milliseconds per step
    events       whether the input of the network is events in {-1, 0, 1}
    features     values per raw reading; 1 of a sound or a text
    transforms   what a raw sequence goes through, in order

    >>> task = Task("doors", ("open", "shut"), 1.0, False, 1, (Transform("divide", {"by": 16}),))
    >>> task.prepare([[8], [4]])[0].tolist()
    [[0.5], [0.25]]
    >>> str(task.prediction(np.array([0.0, 2.0])).names)
    'shut'
    """

    dataset: str
    class_names: tuple[str, ...]
    dt: float
    events: bool
    features: int
    transforms: tuple[Transform, ...] = ()

    def first(self, kind: tuple[str, ...]) -> Transform | None:
        """Return the first transform if it is of a kind: SOUND or TEXT."""
        return next((t for t in self.transforms[:1] if t.name in kind), None)

    def check(self, readings: Any) -> Any:
        """Return raw readings (T, F) as an array, or a text; InputError if they are something else.

        A sequence of one feature may have the shape (T,), one step of several the shape (F,). A
        sound lies within -1 and 1.
        """
        if self.first(TEXT):
            if not isinstance(readings, str) or not readings:
                raise InputError(f"expected a text, got {type(readings).__name__} {readings!r:.40}")
            return readings
        try:
            x = np.asarray(readings)
            if x.dtype.kind in "cmM":
                raise TypeError("complex numbers or times")
            finite = np.isfinite(x)
        except (TypeError, ValueError, RuntimeError) as error:  # of a tensor with a gradient
            raise InputError(
                f"expected numbers (T, {self.features}), got {type(readings).__name__}"
            ) from error
        if x.ndim == 1 and (self.features == 1 or len(x) == self.features):
            x, finite = (a.reshape(-1, self.features) for a in (x, finite))
        if x.ndim != 2 or x.shape[1] != self.features or len(x) == 0:
            raise InputError(f"expected readings (T, {self.features}), got {x.shape}")
        if not finite.all():
            at = np.argwhere(~finite)[0]
            raise InputError(f"{x[tuple(at)]} at {at.tolist()}; clean or mask it first")
        if self.first(SOUND) and np.abs(x).max() > 1:
            raise InputError(
                f"expected a sound from -1 to 1, got values up to {np.abs(x).max()}; divide whole "
                f"numbers of 16 bits by 32,768"
            )
        return x

    def prepare(
        self, readings: Any, states: Sequence[Any] | None = None
    ) -> tuple[Floats, list[Any]]:
        """Return what the network sees (T, F') of readings (T, F), and the transforms' states.

        With the states after earlier readings, these continue the sequence. Raises InputError for
        readings of another kind, and for those that continue what must be whole.
        """
        whole = [t.name for t in self.transforms if t.name in WHOLE]
        if whole and states is not None:
            raise InputError(f"{whole[0]} needs all of a sequence at once; pass it as one piece")
        x, after = transformed(self.transforms, self.check(readings), states)
        if self.events and not np.isin(x, (-1, 0, 1)).all():
            raise InputError("expected events in -1, 0, 1, got other values")
        return x, after

    def prediction(self, logits: NDArray[Any]) -> Prediction:
        """Return the answers that logits (..., C) stand for."""
        powers = np.exp(logits - logits.max(-1, keepdims=True))
        names = np.array(self.class_names)[logits.argmax(-1)]
        return Prediction(names, powers / powers.sum(-1, keepdims=True), logits)

    def to_data(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Task:
        """Return what `to_data` was made of; DataError if it is something else."""
        if not json_file.has_form(data, FORM) or data.keys() != FORM.keys():
            raise DataError(f"it does not describe a task: {str(data)[:60]}")
        try:
            transforms = tuple(Transform(**entry) for entry in data["transforms"])
        except (InputError, TypeError) as error:
            raise DataError(f"it does not describe a task: {error}") from error
        return cls(**{**data, "class_names": tuple(data["class_names"]), "transforms": transforms})


def fitting(task: Any, classes: int) -> Task | None:
    """Return a task that a network or a stream of this many classes can have, or None for none."""
    if not isinstance(task, Task | None):
        raise InputError(
            f"a task is that of a data set, or a spikern.data.Task(...), got {type(task).__name__}"
        )
    if task is not None and len(task.class_names) != classes:
        raise InputError(
            f"expected a task of {classes} classes, as many as there are outputs, got "
            f"{len(task.class_names)}"
        )
    return task


def known(task: Task | None) -> Task:
    """Return the task that a network or a stream has; InputError says how to give it one."""
    if task is None:
        raise InputError(
            "it has no task, the names of its classes and what readings go through before it: "
            "train it with `fit`, or set its `task` to that of a data set, or to a "
            "spikern.data.Task(...); files of earlier versions hold none"
        )
    return task
