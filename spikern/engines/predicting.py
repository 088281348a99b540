"""Raw readings in, names out: what all streams have in common."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from spikern._utils.choices import check_type
from spikern.data.task import Prediction, Task, fitting, known

Floats = NDArray[np.float32]

ANSWERS = {
    "every_step": lambda out, mean: out,
    "mean": lambda out, mean: mean,
    "last": lambda out, mean: out[-1],
}
"""From the readout at these steps (T, C) and its mean over all so far (C,) to the answer."""


class SequenceState(NamedTuple):
    """What is carried from one piece of a sequence of raw readings to the next.

    transforms  the state of each transform
    stream      the state of the stream, (1, S)
    total       the sum of the readout over all steps (C,), in float64
    steps       how many
    """

    transforms: list[Any]
    stream: Floats
    total: NDArray[np.float64]
    steps: int


class Runs(Protocol):
    """What has `run`."""

    task: Task | None
    answer: str

    def run(self, x: Floats, state: Floats | None = None) -> Any:
        """Advance x (T, B, F) from a state."""


class Predicting:
    """A stream with a task, or None, and how its readout becomes the answer, as in a `Network`."""

    output_size: int
    state_size: int
    answer: str = "last"
    body: int = 0
    """How many populations, the first ones, are the body; those after them are the readout."""
    _task: Task | None = None

    def zero_state(self, batch: int = 1) -> Floats:
        """The state before the first step, (B, S)."""
        return np.zeros((batch, self.state_size), np.float32)

    @property
    def task(self) -> Task | None:
        """What the network was trained for; set, it must have a class for each output."""
        return self._task

    @task.setter
    def task(self, task: Task | None) -> None:
        self._task = fitting(task, self.output_size)

    def predict(
        self: Runs, readings: Any, state: SequenceState | None = None
    ) -> tuple[Prediction, SequenceState]:
        """Answer raw readings (T, F) of one sequence, all or the next ones; return state too.

        The answer is to all readings so far, or, at every step, to each of these. A sequence of one
        feature may be (T,), a text is a str. Raises InputError as `Network.predict` does, and for
        a second piece where a transform needs the whole sequence at once.
        """
        task = known(self.task)
        if state is not None:
            check_type("state", state, SequenceState)
        transforms, before, total, steps = state or (None, None, 0, 0)
        x, transforms = task.prepare(readings, transforms)
        result = self.run(x[:, None], before)
        out = result.out[:, 0]
        total, steps = total + out.sum(0, dtype=np.float64), steps + len(out)
        logits = ANSWERS[self.answer](out, (total / steps).astype(np.float32))
        return task.prediction(logits), SequenceState(transforms, result.state, total, steps)
