"""Means and intervals over seeds; paired comparisons, corrected for their number; verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from scipy import stats

from spikern._utils.errors import InputError

Verdict = Literal["confirmed", "refuted", "undecided"]
"""What the data say to a claim."""
CONFIDENCE = 0.95
DIGITS = 12
"""To how many digits of the largest value differences are compared."""
WILCOXON_PAIRS = 6
"""Fewer pairs cannot reach p < 0.05 in a two-sided signed-rank test."""


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean."""
    return math.fsum(values) / len(values)


def interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """The interval of the mean by Student's t, 95 % unless told; None for a single value.

    >>> low, high = interval([0.90, 0.92, 0.94])
    >>> round(low, 4), round(high, 4)
    (0.8703, 0.9697)
    """
    if len(values) < 2:
        return None
    quantile = float(stats.t.ppf(0.5 + confidence / 2, len(values) - 1))
    half = quantile * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return mean(values) - half, mean(values) + half


def summary(values: Sequence[float]) -> dict[str, Any]:
    """The mean and its interval, as in results.json."""
    return {"mean": mean(values), "ci95": interval(values)}


class Paired(NamedTuple):
    """A against B over the same seeds.

    difference   mean of A - B, the effect, in the unit of the values
    low, high    its interval
    p_t          two-sided p of the paired t test
    p_wilcoxon   two-sided p of the signed-rank test; None below 6 pairs that differ
    """

    difference: float
    low: float
    high: float
    p_t: float
    p_wilcoxon: float | None


def paired(a: Sequence[float], b: Sequence[float], confidence: float = CONFIDENCE) -> Paired:
    """Compare A with B seed by seed; a[k] and b[k] are of the same seed.

        t = mean(A - B) / (std(A - B) / sqrt(n)),   n - 1 degrees of freedom

    Where all differences are the same number, they do not show how much they vary: p_t is 1. Raises
    InputError for unequal or fewer than 2 values, or values that are not finite.

    >>> paired([0.91, 0.93, 0.95], [0.90, 0.90, 0.91]).low > 0
    False
    """
    if len(a) != len(b) or len(a) < 2:
        raise InputError(f"a paired comparison needs two or more pairs, got {len(a)} and {len(b)}")
    differences = np.subtract(a, b)
    if not np.isfinite(differences).all():
        raise InputError("a paired comparison needs finite values; leave failed runs out by seed")
    # 0.3 - 0.2 is not 0.2 - 0.1: without rounding, what is equal would be told apart
    size = np.abs([a, b]).max()
    rounded = np.round(differences / size, DIGITS) if size else differences
    difference = mean(differences.tolist()) if rounded.any() else 0.0
    if np.ptp(rounded) > 0:
        low, high = interval(differences.tolist(), confidence) or (math.nan, math.nan)
        error = float(np.std(differences, ddof=1)) / len(a) ** 0.5
        p_t = 2 * float(stats.t.sf(abs(difference) / error, len(a) - 1))
    else:
        low, high, p_t = difference, difference, 1.0
    differ = rounded[rounded != 0]
    p_wilcoxon = float(stats.wilcoxon(differ).pvalue) if len(differ) >= WILCOXON_PAIRS else None
    return Paired(difference, low, high, p_t, p_wilcoxon)


def holm(p: Sequence[float]) -> list[float]:
    """p values corrected for their number by Holm's step-down method, in the given order.

        p'_(k) = max over j <= k of min(1, (m - j + 1) p_(j)),   p_(1) <= ... <= p_(m)

    Source: Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6, 65-70 (1979).

    >>> [round(q, 6) for q in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    if not all(0 <= value <= 1 for value in p):
        raise InputError(f"p values lie in 0..1, got {list(p)}")
    corrected = [0.0] * len(p)
    largest = 0.0
    for rank, k in enumerate(sorted(range(len(p)), key=lambda k: p[k])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[k]))
        corrected[k] = largest
    return corrected


def verdict(low: float, high: float) -> Verdict:
    """The verdict on "A > B" from the interval of A - B: on one side of zero, or undecided.

    An interval of no width is of differences that did not vary, and decides nothing.

    >>> verdict(0.01, 0.05), verdict(-0.05, -0.01), verdict(-0.01, 0.05), verdict(0.02, 0.02)
    ('confirmed', 'refuted', 'undecided', 'undecided')
    """
    if not low <= high:
        raise InputError(f"an interval has low <= high, got {low}..{high}")
    if low == high:
        return "undecided"
    if low > 0:
        return "confirmed"
    return "refuted" if high < 0 else "undecided"


Name = TypeVar("Name")


def claims(
    pairs: Mapping[Name, tuple[Sequence[float], Sequence[float]]],
) -> dict[Name, dict[str, Any]]:
    """The claims "A > B", by name, each with its values over the same seeds: many tests at once.

    Each gets its paired comparison, p_holm, and a verdict from an interval that is widened for the
    number of claims m, to a confidence of 1 - 0.05 / m (Bonferroni): Holm's method has no plain
    intervals. So a verdict is never bolder than p_holm < 0.05.

    >>> claims({"GRU > RNN": ([0.9, 0.9, 0.91], [0.5, 0.52, 0.51])})["GRU > RNN"]["verdict"]
    'confirmed'
    """
    if not pairs:
        return {}
    confidence = 1 - (1 - CONFIDENCE) / len(pairs)
    compared = {name: paired(a, b, confidence) for name, (a, b) in pairs.items()}
    corrected = holm([found.p_t for found in compared.values()])
    return {
        name: found._asdict() | {"p_holm": p, "verdict": verdict(found.low, found.high)}
        for (name, found), p in zip(compared.items(), corrected)
    }
