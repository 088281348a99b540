"""Names that a user chooses from a table."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from spikern._utils.errors import InputError


def check_choice(kind: str, name: str, known: Iterable[str]) -> None:
    """Raise an error that names the nearest known choice.

    >>> check_choice("neuron", "LIFF", ["LIF", "ALIF"])
    Traceback (most recent call last):
    spikern.InputError: no neuron 'LIFF'; did you mean 'LIF'? there are: LIF, ALIF
    """
    known = list(known)
    if name in known:
        return
    folded = {k.lower(): k for k in known}
    near = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    hint = f" did you mean '{folded[near[0]]}'?" if near else ""
    raise InputError(f"no {kind} '{name}';{hint} there are: {', '.join(known)}")
