"""A ladder to reality: an inference's estimate beside a brain and two language models.

Every rung shows how its figure comes about. An estimate of one small network and the power of a
whole brain are not the same kind of thing; the ladder says how far apart they are, no more.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from spikern._utils.errors import InputError
from spikern.cost.counts import Counts
from spikern.cost.estimates import PJ, Estimate

BRAIN_NEURONS = 8.6e10
BRAIN_SYNAPSES = 1e14
BRAIN_WATTS = (20.0, 50.0)
BLOOM_QUERIES = 230_768
BLOOM_DAYS = 18
BLOOM_WATTS = 1_664.0
PALM_TRAINING_GWH = 3.4
"""The scale of the article that started this library."""
DAY = 86_400
GWH = 3.6e12
"""Seconds in a day, joules in a gigawatt-hour."""


class Rung(NamedTuple):
    """Joules of one thing, from low to high, the arithmetic, and whether it is our estimate."""

    name: str
    low: float
    high: float
    arithmetic: str
    estimate: bool = False


def ladder(estimate: Estimate, counts: Counts, seconds: float) -> tuple[Rung, ...]:
    """The rungs in joules, the cheapest first; `seconds` is how long one inference lasts.

    The network's own rungs: one synapse and one whole inference, and that inference scaled to as
    many synapses as a brain has. The brain's: one synapse and the whole, over the same time.

    Raises InputError on a duration that is no time, or on a network without synapses.
    """
    if not (seconds > 0 and math.isfinite(seconds)):
        raise InputError(f"seconds must be above 0 and finite, got {seconds}")
    synapses = sum(c.synapses for c in counts.connections)
    if synapses == 0:
        raise InputError("the network has no synapse, so nothing can be said per synapse")
    joules = estimate.pj / PJ
    source = f"{estimate.table}, {estimate.view}"
    low, high = (watts * seconds for watts in BRAIN_WATTS)
    span = f"{BRAIN_WATTS[0]:g} to {BRAIN_WATTS[1]:g} W x {seconds:.4g} s"
    bloom = BLOOM_WATTS * BLOOM_DAYS * DAY / BLOOM_QUERIES
    palm = PALM_TRAINING_GWH * GWH
    mine = joules / synapses
    rungs = [
        Rung(
            "one synapse of a brain in that time",
            low / BRAIN_SYNAPSES,
            high / BRAIN_SYNAPSES,
            f"{span} / {BRAIN_SYNAPSES:.0e} synapses",
        ),
        Rung(
            "one synapse of the network, estimate",
            mine,
            mine,
            f"{joules:.4g} J / {synapses:,} synapses ({source})",
            estimate=True,
        ),
        Rung("one inference, estimate", joules, joules, f"{estimate.pj:.4g} pJ ({source})", True),
        Rung("a brain in that time", low, high, span),
        Rung(
            "one inference with a brain's synapses, estimate",
            mine * BRAIN_SYNAPSES,
            mine * BRAIN_SYNAPSES,
            f"{mine:.4g} J x {BRAIN_SYNAPSES:.0e} synapses",
            estimate=True,
        ),
        Rung(
            "one query to BLOOM",
            bloom,
            bloom,
            f"{BLOOM_WATTS:,.0f} W x {BLOOM_DAYS} days x {DAY:,} s / {BLOOM_QUERIES:,} queries",
        ),
        Rung("training PaLM once", palm, palm, f"{PALM_TRAINING_GWH:g} GWh x {GWH:.1e} J"),
    ]
    return tuple(sorted(rungs, key=lambda rung: rung.high))


def text(rungs: tuple[Rung, ...]) -> str:
    """The ladder for a terminal, one rung a line."""
    return "\n".join(f"{amount(r):>22}  {r.name}: {r.arithmetic}" for r in rungs)


def amount(rung: Rung) -> str:
    """Joules, one number or a span.

    >>> amount(Rung("a brain for a second", 20.0, 50.0, ""))
    '20 to 50 J'
    """
    if rung.low == rung.high:
        return f"{rung.low:.3g} J"
    return f"{rung.low:.3g} to {rung.high:.3g} J"
