"""Numbers that a user gives."""

from __future__ import annotations

from numbers import Integral, Real

from spikern._utils.errors import InputError


def check_numbers(**values: object) -> None:
    """Raise InputError unless all are real numbers, which truth values and texts are not.

    >>> check_numbers(learning_rate="1e-3")
    Traceback (most recent call last):
    spikern.InputError: learning_rate must be a number, got '1e-3'
    """
    _check(Real, "a number", values)


def check_whole(**values: object) -> None:
    """Raise InputError unless all are whole numbers.

    >>> check_whole(epochs=2.5)
    Traceback (most recent call last):
    spikern.InputError: epochs must be a whole number, got 2.5
    """
    _check(Integral, "a whole number", values)


def check_counts(**values: int) -> None:
    """Raise InputError unless all are whole numbers of at least 1.

    >>> check_counts(epochs=0)
    Traceback (most recent call last):
    spikern.InputError: epochs must be at least 1, got 0
    """
    check_whole(**values)
    for name, value in values.items():
        if value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")


def _check(kind: type, words: str, values: dict[str, object]) -> None:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, kind):
            raise InputError(f"{name} must be {words}, got {value!r:.60}")
