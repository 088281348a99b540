"""Names that a user chooses from a table."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from spikern._utils.errors import InputError

Value = TypeVar("Value")


class Choices(dict[str, Value]):
    """A table of named things; InputError, with the nearest name, for one that it does not have.

    >>> Choices("neuron", {"LIF": 1})["LIFF"]
    Traceback (most recent call last):
    spikern.InputError: no neuron 'LIFF'; did you mean 'LIF'? there are: LIF
    """

    def __init__(self, kind: str, entries: Mapping[str, Value]) -> None:
        super().__init__(entries)
        self.kind = kind

    def __missing__(self, name: str) -> Value:
        raise no_choice(self.kind, name, self)


def check_type(what: str, value: object, *kinds: type) -> None:
    """Raise InputError unless a value is of one of the types.

    >>> check_type("layer", None, int, float)
    Traceback (most recent call last):
    spikern.InputError: layer must be int or float, got NoneType
    """
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise InputError(f"{what} must be {wanted}, got {type(value).__name__}")


def check_choice(kind: str, name: str, known: Iterable[str]) -> None:
    """Raise an error that names the nearest known choice.

    >>> check_choice("neuron", "LIFF", ["LIF", "ALIF"])
    Traceback (most recent call last):
    spikern.InputError: no neuron 'LIFF'; did you mean 'LIF'? there are: LIF, ALIF
    """
    known = list(known)
    if name not in known:
        raise no_choice(kind, name, known)


def no_choice(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error that names the nearest known choice.

    >>> str(no_choice("neuron", "XYZ", ["LIF", "ALIF"]))
    "no neuron 'XYZ'; there are: LIF, ALIF"
    """
    known = list(known)
    folded = {k.lower(): k for k in known}
    near = difflib.get_close_matches(str(name).lower(), folded, n=1, cutoff=0.5)
    hint = f" did you mean '{folded[near[0]]}'?" if near else ""
    return InputError(f"no {kind} '{name}';{hint} there are: {', '.join(known)}")
