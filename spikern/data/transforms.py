"""What raw readings go through on their way into a network: functions by name, with parameters.

A loader makes its splits by these functions, and a trained network keeps their names and
parameters. Each is `f(x, state, **parameters) -> x, state` over the steps x (T, ...); the state
goes from one piece of a sequence to the next and is None at its start. Those of WHOLE need all of
a sequence at once, and have no state. No torch is needed for what a stream can do.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikern._utils.choices import check_choice
from spikern._utils.errors import InputError
from spikern.events.crossing import crossings

Floats = NDArray[np.float32]
Array = NDArray[Any]
ROUNDING = 1e-12
"""Relative range below which numbers in double precision count as one."""


def standardise(
    x: Array, state: None, mean: Sequence[float], deviation: Sequence[float]
) -> tuple[Array, None]:
    """(x - mean) / deviation, by feature, in double precision."""
    return (x - np.asarray(mean)) / np.asarray(deviation), None


def divide(x: Array, state: None, by: float) -> tuple[Array, None]:
    """x / by."""
    return np.divide(x, by, dtype=np.float32), None


def delta(x: Array, state: Array | None, threshold: float) -> tuple[Array, Array]:
    """Events of level crossings, as `spikern.events.delta`; the state is the level."""
    level = np.zeros(x.shape[1:], np.float32) if state is None else state
    return crossings(x.astype(np.float32), threshold, level)


def characters(x: str, state: None, alphabet: str) -> tuple[Array, None]:
    """One event per character of a text, on the feature of its place in the alphabet."""
    return np.eye(len(alphabet), dtype=np.float32)[codes(x, alphabet)], None


def permute(x: Array, state: None, order: Sequence[int]) -> tuple[Array, None]:
    """The steps in another order."""
    if len(x) != len(order):
        raise InputError(f"expected {len(order)} readings, got {len(x)}")
    return x[np.asarray(order)], None


def log_mel(x: Array, state: None, **parameters: Any) -> tuple[Array, None]:
    """Log-mel spectrogram of a sound; see `spikern.data.formats.sound`."""
    from spikern.data.formats import sound  # SciPy, and h5py behind it

    return sound.log_mel(x.reshape(-1), **parameters), None


def cochlea(x: Array, state: None, **parameters: Any) -> tuple[Array, None]:
    """Events of the bands of a sound; see `spikern.data.formats.sound`."""
    from spikern.data.formats import sound

    return sound.cochlea(x.reshape(-1), **parameters), None


TRANSFORMS = {
    f.__name__: f for f in (characters, cochlea, delta, divide, log_mel, permute, standardise)
}
SOUND = ("log_mel", "cochlea")
"""Those of a sound, as samples in -1..1 at their `sample_rate`."""
TEXT = ("characters",)
"""Those of a text."""
WHOLE = (*SOUND, "permute")


@dataclass(frozen=True)
class Transform:
    """A function of TRANSFORMS and its parameters, as JSON can hold them.

    Raises InputError for parameters that it does not have, or that make no sense.

    >>> Transform("divide", {"by": 16})
    Transform(name='divide', parameters={'by': 16})
    """

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("transform", self.name, TRANSFORMS)
        try:
            inspect.signature(TRANSFORMS[self.name]).bind(None, None, **self.parameters)
        except TypeError as error:
            raise InputError(f"{self.name}: {error}") from error
        try:
            json.dumps(self.parameters)
        except TypeError as error:
            raise InputError(f"{self.name}: {error}; give numbers, texts and lists") from error
        if fault := _fault(self.name, self.parameters):
            raise InputError(f"{self.name}: {fault}")


def _fault(name: str, parameters: dict[str, Any]) -> str:
    """What is wrong with the values of a transform's parameters, in words; empty if nothing is."""
    match name:
        case "divide" if not (_are_finite([parameters["by"]]) and parameters["by"]):
            return f"by must be a finite number other than 0, got {parameters['by']!r}"
        case "delta" if not (
            _are_finite([parameters["threshold"]]) and parameters["threshold"] > 0
        ):
            return f"threshold must be above 0 and finite, got {parameters['threshold']!r}"
        case "standardise":
            mean, deviation = parameters["mean"], parameters["deviation"]
            numbers = _are_finite(mean) and _are_finite(deviation)
            if not (numbers and len(mean) == len(deviation) and all(deviation)):
                return (
                    "expected as many finite means as deviations, and no deviation of 0, got "
                    f"{mean} and {deviation}"
                )
        case "permute" if sorted(parameters["order"]) != [*range(len(parameters["order"]))]:
            return "order must name every step from 0 on once"
        case "characters" if len({*parameters["alphabet"]}) < len(parameters["alphabet"]):
            return f"a letter is twice in the alphabet {parameters['alphabet']!r}"
    return ""


def _are_finite(values: Any) -> bool:
    """Whether these are numbers in a list, one at least, all finite."""
    try:
        numbers = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        return False
    return numbers.ndim == 1 and numbers.size > 0 and bool(np.isfinite(numbers).all())


def transformed(
    transforms: Sequence[Transform], x: Any, states: Sequence[Any] | None = None
) -> tuple[Floats, list[Any]]:
    """Return x (T, ...) after all transforms, in single precision after each, and their states.

    >>> transformed([Transform("divide", {"by": 2}), Transform("delta", {"threshold": 1})],
    ...     np.array([[1.0], [2.0]]))[0].tolist()
    [[0.0], [1.0]]
    """
    after = []
    for transform, state in zip(transforms, states or [None] * len(transforms), strict=True):
        x, state = TRANSFORMS[transform.name](x, state, **transform.parameters)
        x = x.astype(np.float32, copy=False)
        after.append(state)
    return np.ascontiguousarray(x, np.float32), after


def standardising(values: Array) -> Transform:
    """Return the transform that gives values (N, F) mean 0 and deviation 1; a constant gets 0.

    Constant is also what differs in its last places alone.
    """
    values = values.astype(np.float64)
    constant = np.ptp(values, 0) <= ROUNDING * np.abs(values).max(0)
    mean = np.where(constant, values[0], values.mean(0))
    deviation = np.where(constant, 1.0, values.std(0))
    return Transform("standardise", {"mean": mean.tolist(), "deviation": deviation.tolist()})


def codes(text: str, alphabet: str) -> NDArray[np.int64]:
    """Return the places of the characters of a text in an alphabet.

    >>> codes("abba", "ab").tolist()
    [0, 1, 1, 0]
    """
    place = {character: n for n, character in enumerate(alphabet)}
    if unknown := sorted(set(text) - set(alphabet)):
        raise InputError(f"expected characters of {alphabet!r}, got {''.join(unknown)!r}")
    return np.array([place[character] for character in text], np.int64)
