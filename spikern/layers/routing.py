"""Groups of neurons, of which the input wakes a few: what a SpikingRNN can have, and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from spikern._utils.choices import check_choice
from spikern._utils.errors import InputError, UnsupportedError
from spikern._utils.numbers import check_whole
from spikern.engines.experts import LEARNED, ROUTINGS, SLEEPS


def check_experts(experts: int, awake: int) -> None:
    """Raise InputError on numbers of which no experts can be made."""
    check_whole(experts=experts, awake=awake)
    if not 1 <= awake <= experts:
        raise InputError(f"awake must lie in 1..{experts}, the number of experts, got {awake}")


def check_groups(
    experts: int,
    awake: int,
    routing: str,
    sleep: str,
    widths: Sequence[int],
    others: Mapping[str, bool],
) -> None:
    """Raise InputError on numbers that make no groups, UnsupportedError beside one of `others`.

    `others` are the settings that groups are not built with, and whether they are there.
    """
    check_choice("routing", routing, ROUTINGS)
    check_choice("sleep", sleep, SLEEPS)
    check_experts(experts, awake)
    if routing == LEARNED and awake == 1:
        raise InputError(
            "learned routing needs awake=2 or more: the gain of one group is always 1, from which "
            f"a router learns nothing; got experts={experts}, awake=1"
        )
    for width in widths:
        if width % experts:
            raise InputError(
                f"hidden_size must be a multiple of experts={experts}, which have as many neurons "
                f"each, got {width}"
            )
    for setting, there in others.items():
        if there and experts > 1:
            raise UnsupportedError(f"experts are not built with {setting}")


def draw_table(experts: int, features: int, awake: int) -> Tensor:
    """Draw which groups each feature wakes: (E, F) of 1 and 0, `awake` ones in each column.

    It is balanced: the numbers of features of any two groups differ by 1 at most.

    >>> draw_table(4, 6, 2).sum(0).tolist(), draw_table(4, 6, 2).sum(1).tolist()
    ([2.0, 2.0, 2.0, 2.0, 2.0, 2.0], [3.0, 3.0, 3.0, 3.0])
    """
    table = torch.zeros(experts, features)
    for column in table.T:
        least = (table.sum(1) + torch.rand(experts)).argsort()[:awake]
        column[least] = 1.0
    return table
