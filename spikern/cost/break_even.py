"""A spiking network against a twin: never one ratio, but all of them, and where they turn.

Costs are affine in the firing rate r, other things equal (the input stays, spikes are thinned or
added evenly):  E(r) = E(0) + r (E - E(0)) / rate.  E(0), the input and the updates that are left
when nothing fires, is counted and not fitted. So, with E_twin the twin's energy,

    ratio        E_twin / E                              above 1 the spiking network needs less
    break-even   r = rate (E_twin - E(0)) / (E - E(0))   the rate at which both need the same
    cap          E_twin / E(0)                           what the ratio tends to as r -> 0
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from spikern._utils.errors import InputError
from spikern.cost.counts import Counts, silent
from spikern.cost.estimates import OPERATIONS, Surroundings, energy
from spikern.cost.memory import BOUNDS
from spikern.cost.prices import EnergyTable

COMPARED = (OPERATIONS, *BOUNDS)
"""The views that a statement takes in by default."""


class BreakEven(NamedTuple):
    """The rate at which both need the same, or None and why there is none."""

    rate: float | None
    why: str


@dataclass(frozen=True)
class Line:
    """One table and view: estimates of one inference, their ratio, where it turns, its cap.

    room is the break-even rate over the network's own: below 1 it fires too often to gain.
    """

    table: str
    view: str
    spiking_pj: float | None
    twin_pj: float | None
    ratio: float | None
    break_even: BreakEven
    room: float | None
    cap: float | None


@dataclass(frozen=True)
class Statement:
    """Everything that may be said of one spiking network and one twin.

    rate                spikes per neuron and step;  spikes_per_synapse: per inference
    low, high           the least and the greatest ratio of all lines; None if there is none
    """

    spiking: str
    twin: str
    rate: float
    spikes_per_synapse: float
    lines: tuple[Line, ...]

    @property
    def low(self) -> float | None:
        """The ratio that is worst for the spiking network."""
        return min((x.ratio for x in self.lines if x.ratio is not None), default=None)

    @property
    def high(self) -> float | None:
        """The ratio that is best for the spiking network."""
        return max((x.ratio for x in self.lines if x.ratio is not None), default=None)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {
            "low": self.low,
            "high": self.high,
            "lines": [asdict(x) | {"break_even": x.break_even._asdict()} for x in self.lines],
        }

    def text(self) -> str:
        """A few lines for a terminal or a report."""
        return "\n".join(render(self))


def statement(
    spiking: Counts,
    twin: Counts,
    tables: Mapping[str, EnergyTable],
    views: Sequence[str] = COMPARED,
    names: tuple[str, str] = ("the spiking network", "the twin"),
    surroundings: Surroundings | None = None,
    twin_surroundings: Surroundings | None = None,
) -> Statement:
    """The statement over tables and views; a view that a table has no prices for has no estimate.

    The twin's surroundings (its inference may take longer) are those of the first unless given.

    Raises InputError if the first network has no neuron that can fire.
    """
    rate = spiking.rate
    if rate is None:
        raise InputError("no neuron of the first network can fire; give the spiking one first")
    lines = []
    still = silent(spiking)
    for table in tables.values():
        for view in views:
            found = [
                energy(spiking, table, view, surroundings),
                energy(twin, table, view, twin_surroundings or surroundings),
                energy(still, table, view, surroundings),
            ]
            now, other, least = (None if e is None else e.pj for e in found)
            ratio, cap = divided(other, now), divided(other, least)
            even = break_even(rate, now, least, other)
            room = divided(even.rate, rate)
            lines.append(Line(table.name, view, now, other, ratio, even, room, cap))
    return Statement(*names, rate, spikes_per_synapse(spiking), tuple(lines))


def break_even(
    rate: float, now: float | None, still: float | None, twin: float | None
) -> BreakEven:
    """The rate at which a cost that is `still` at rate 0 and `now` at `rate` equals the twin's.

    >>> break_even(rate=0.1, now=30.0, still=10.0, twin=50.0)
    BreakEven(rate=0.2, why='')
    >>> break_even(rate=0.1, now=30.0, still=10.0, twin=5.0).why
    'at no rate: its input and updates alone cost more'
    """
    if now is None or still is None or twin is None:
        return BreakEven(None, "no estimate")
    if rate == 0 or now == still:
        return BreakEven(None, "not known: nothing fired, so no spike has shown what it costs")
    if twin <= still:
        return BreakEven(None, "at no rate: its input and updates alone cost more")
    found = rate * (twin - still) / (now - still)
    if found > 1:
        return BreakEven(None, "at no rate: it costs less even if all neurons fire at every step")
    return BreakEven(found, "")


def spikes_per_synapse(counts: Counts) -> float:
    """How often a spike or event crosses a synapse in one inference, on average."""
    carrying = [c for c in counts.connections if c.spiking]
    synapses = sum(c.synapses for c in carrying)
    events = sum(sum(c.ops) for c in carrying)
    return events / synapses / counts.inferences if synapses else 0.0


def divided(a: float | None, b: float | None) -> float | None:
    """a / b, or None where one is missing or nothing was done."""
    return a / b if a is not None and b else None


def render(found: Statement) -> Iterable[str]:
    """The lines of `Statement.text`."""
    a, b = found.spiking, found.twin
    if found.low is None or found.high is None:
        yield f"No table prices both {a} and {b}."
    else:
        yield f"Estimates: {a} needs {fold(found.low)} to {fold(found.high)} energy than {b} does."
    yield (
        f"It fires at {100 * found.rate:.3g} % of its steps: {found.spikes_per_synapse:.3g} "
        "spikes per synapse and inference."
    )
    unpriced: dict[str, list[str]] = {}
    for x in found.lines:
        if x.ratio is None or x.spiking_pj is None or x.twin_pj is None:
            unpriced.setdefault(x.table, []).append(x.view)
            continue
        even = x.break_even.why
        if x.break_even.rate is not None:
            even = f"at a rate of {100 * x.break_even.rate:.3g} %, {x.room:.3g} x its own"
        cap = "no cap" if x.cap is None else f"cap {x.cap:.3g}"
        pair = f"{1e-3 * x.spiking_pj:.4g} nJ against {1e-3 * x.twin_pj:.4g} nJ"
        yield f"  {x.table}, {x.view}: {pair}, ratio {x.ratio:.3g} ({cap}); breaks even {even}"
    for table, views in unpriced.items():
        yield f"  {table}: no estimate for {', '.join(views)}"


def fold(ratio: float) -> str:
    """A ratio in words.

    >>> fold(11.0), fold(0.5), fold(1.0)
    ('11 times less', '2 times more', '1 times less')
    """
    return f"{ratio:.3g} times less" if ratio >= 1 else f"{1 / ratio:.3g} times more"
