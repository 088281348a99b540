"""Sparse experts: a population in E groups, of which the input of a step wakes a few.

    i_g = gain_g (w_in x_t + w_rec z_{t-1} + b)_g,    then the neuron's step, where gain_g > 0

Group g has the neurons g H / E to (g + 1) H / E - 1. In a group that sleeps z is 0, and the rest of
the state

    frozen     stands still; the reset of a spike that it fired just before is not made up for
    decaying   takes the neuron's step with i = 0 and without a spike

Gains depend on x_t alone, so a step needs no other to know who is awake.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from spikern.events.trains import Input, dense, valid_steps

FIXED, LEARNED = "fixed", "learned"
ROUTINGS = (FIXED, LEARNED)
FROZEN, DECAYING = "frozen", "decaying"
SLEEPS = (FROZEN, DECAYING)


class Router(NamedTuple):
    """What wakes `awake` of E groups, by weight (E, F), and whether the state of the others decays.

    fixed    a group has a vote of each event whose weight is 1; awake, with a gain of 1, are the
             groups with most votes, none without any vote
    learned  scores are weight x; awake are the groups with the largest, and their gains are
             `awake` times the softmax of these

    Among equals those of lower index are awake.
    """

    weight: Tensor
    awake: int
    learned: bool
    decaying: bool = False


class Routing(NamedTuple):
    """What a learned router did, over samples and valid steps.

    awake        (E,) how often each group was awake
    probability  (E,) the sum of the softmax of all scores, with its gradient
    """

    awake: Tensor
    probability: Tensor


def route(router: Router, x: Input, lengths: Tensor | None = None) -> tuple[Tensor, Routing]:
    """The gains (T, B, E) on x (T, B, F), 0 for groups that sleep, and their sums.

    >>> table = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> route(Router(table, 2, False), torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]]))[0].tolist()
    [[[1.0, 0.0, 1.0]], [[0.0, 0.0, 0.0]]]
    """
    x = dense(x)
    scores = functional.linear(x if router.learned else (x != 0).to(x.dtype), router.weight)
    best, groups = scores.sort(dim=-1, descending=True, stable=True)
    best, groups = best[..., : router.awake], groups[..., : router.awake]
    own = router.awake * best.softmax(-1) if router.learned else (best > 0).to(x.dtype)
    gain = torch.zeros_like(scores).scatter(-1, groups, own)
    valid = scores.new_ones(x.shape[:2])
    if lengths is not None:
        valid = valid_steps(lengths, len(x)).to(x.dtype)
    awake = (valid.unsqueeze(2) * (gain != 0)).sum((0, 1))
    return gain, Routing(awake, (valid.unsqueeze(2) * scores.softmax(-1)).sum((0, 1)))


def imbalance(routing: Routing) -> Tensor:
    """E times the sum over groups of awake x probability, each as a share of its sum.

    1 where groups are awake equally often, E / awake where the same ones always are. Its gradient
    lowers the probability of groups that are awake often. Source: Fedus et al. 2022, Switch
    Transformers, JMLR 23, equation 4.

    >>> imbalance(Routing(torch.tensor([8.0, 0.0]), torch.tensor([8.0, 0.0]))).item()
    2.0
    """
    awake, probability = (part / part.sum() for part in routing)
    return len(awake) * (awake * probability).sum()


def working(awake: Tensor) -> float:
    """How many of E groups do the work: exp of the entropy of how often each was awake (E,).

    >>> round(working(torch.tensor([5.0, 5.0, 0.0])), 3)
    2.0
    """
    return float(torch.special.entr(awake / awake.sum()).sum().exp())
