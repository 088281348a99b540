"""How a network is trained: the settings of the loop, checked, and the course of the rate."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal, get_args

import numpy as np

from spikern._utils.choices import check_choice, check_type
from spikern._utils.display import table_of_fields
from spikern._utils.errors import InputError
from spikern._utils.numbers import check_counts, check_numbers, check_whole

CHECKS = {"int": check_whole, "float": check_numbers}
Schedule = Literal["cosine", "linear", "constant"]
Place = Literal["answer", "every_step"]
Numbers = Literal["float32", "int8"]
Measure = Literal["accuracy", "loss"]


@table_of_fields
@dataclass(frozen=True)
class Training:
    """How a network is trained."""

    epochs: int = 60
    """Passes over the training split."""
    batch_size: int = 32
    """Sequences per update."""
    learning_rate: float = 1e-2
    """Adam's learning rate at the start."""
    weight_decay: float = 0.0
    """Weight decay; not applied to biases and time constants."""
    clip: float = 1.0
    """Largest norm of the whole gradient."""
    input_noise: float = 0.0
    """Standard deviation of Gaussian noise on an analog input, drawn anew in every batch."""
    rate: float | None = 0.05
    """Firing rate that the layers of a fresh spiking network are calibrated to before training, on
    one batch; None: off. A network that was trained, loaded or changed stays as it is."""
    rate_limit: float = 0.1
    """Firing rate above which the regulariser acts."""
    rate_penalty: float = 0.0
    """Weight in the loss of the sum over layers of the mean over neurons of
    max(0, rate - rate_limit)^2; 0: none."""
    balance_penalty: float = 0.01
    """Weight in the loss, for each learned router, of E sum_g f_g p_g over its E groups, where f_g
    is the share of group g in those awake and p_g in the softmax of the scores; 0: none."""
    schedule: Schedule = "cosine"
    """Course of the learning rate from its start to its end: half a cosine, a line, or constant."""
    final_rate: float = 0.0
    """Learning rate at the end, as a share of that at the start; not for a constant one."""
    loss: Place = "answer"
    """Where the loss is taken: at the answer, or, for one label per sequence, at every step."""
    carry_state: bool = False
    """Carry the state from each sequence to the next: the split is read as `batch_size` streams of
    consecutive sequences, for data that were cut from one stream."""
    select_by: Measure = "accuracy"
    """What the epoch whose weights are kept is best in, on validation; the first among equals."""
    patience: int | None = None
    """Epochs that are no better on validation after which the training ends; None: never."""
    channel_shift: int = 0
    """Largest random shift of the features of an analog input, in places."""
    time_stretch: float = 0.0
    """Largest random change of the length of an analog sequence, as a share of it."""
    weights: Numbers = "float32"
    """Numbers that the weights are rounded to wherever the network computes; int8: one scale per
    row, and gradients pass the rounding as if there were none. What is kept is rounded."""

    def __post_init__(self) -> None:
        check_choice("schedule", self.schedule, get_args(Schedule))
        check_choice("loss", self.loss, get_args(Place))
        check_choice("weights", self.weights, get_args(Numbers))
        check_choice("select_by", self.select_by, get_args(Measure))
        for field in fields(self):
            kind, *optional = str(field.type).split(" | ")
            value = getattr(self, field.name)
            if kind in CHECKS and not (optional and value is None):
                CHECKS[kind](**{field.name: value})
            if isinstance(value, np.generic):  # JSON has none
                object.__setattr__(self, field.name, value.item())
        if self.schedule == "constant" and self.final_rate:
            raise InputError(
                f"a constant learning rate ends where it starts; leave out final_rate="
                f"{self.final_rate}, or give the schedule 'linear' or 'cosine'"
            )
        check_counts(epochs=self.epochs, batch_size=self.batch_size)
        if self.patience is not None and self.patience < 1:
            raise InputError(f"patience must be at least 1 or None, got {self.patience}")
        check_type("carry_state", self.carry_state, bool)
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"learning_rate must be above 0 and finite, got {self.learning_rate}")
        if not self.clip > 0:
            raise InputError(f"clip must be above 0, got {self.clip}")
        if self.rate is not None and not 0 < self.rate < 1:
            raise InputError(f"rate must lie between 0 and 1, got {self.rate}")
        for name in ("final_rate", "time_stretch"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(
                    f"{name} must be at least 0 and below 1, got {getattr(self, name)}"
                )
        for name in (
            "weight_decay", "rate_limit", "rate_penalty", "balance_penalty", "input_noise",
            "channel_shift",
        ):  # fmt: skip
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} must not be negative, got {getattr(self, name)}")

    def share_at(self, progress: float) -> float:
        """The share of the learning rate at a progress from 0, the first update, to 1, the end.

        >>> [Training(schedule="linear", final_rate=0.5).share_at(p) for p in (0.0, 1.0)]
        [1.0, 0.5]
        """
        left = {
            "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
            "linear": 1 - progress,
            "constant": 1.0,
        }[self.schedule]
        return self.final_rate + (1 - self.final_rate) * left
