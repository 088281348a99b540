"""The energy estimates of a spiking network and a twin: all ratios, and the rates of break-even.

Costs are affine in the firing rate r, other things equal (the input stays, spikes are thinned or
added evenly):  E(r) = E(0) + r (E - E(0)) / rate.  E(0), the cost of the input and the updates when
no neuron fires, is counted and not fitted. With E_twin, the energy of the twin,

    ratio        E_twin / E                              above 1 the spiking network needs less
    break-even   r = rate (E_twin - E(0)) / (E - E(0))   the rate at which both need the same
    cap          E_twin / E(0)                           what the ratio tends to as r -> 0
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from spikern._utils.errors import InputError
from spikern.cost.counts import Counts, silent
from spikern.cost.estimates import OPERATIONS, Surroundings, energy
from spikern.cost.memory import BOUNDS
from spikern.cost.prices import EnergyTable

COMPARED = (OPERATIONS, *BOUNDS)
"""The views that are compared by default."""


class BreakEven(NamedTuple):
    """The rate at which both networks need the same energy, or None and why there is none."""

    rate: float | None
    why: str


@dataclass(frozen=True)
class EnergyRatio:
    """Two estimates of one inference under one table and view, their ratio and its cap.

    `room` is the break-even rate over the network's own rate: below 1 it fires too often to gain.
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
class EnergyComparison:
    """A spiking network against a twin under every table and view.

    rate                 spikes per neuron and step
    spikes_per_synapse   how often a spike or event crosses a synapse in one inference, on average
    ratios               one entry per table and view
    """

    spiking: str
    twin: str
    rate: float
    spikes_per_synapse: float
    ratios: tuple[EnergyRatio, ...]

    @property
    def low(self) -> float | None:
        """The ratio that is worst for the spiking network; None if there is none."""
        return min((x.ratio for x in self.ratios if x.ratio is not None), default=None)

    @property
    def high(self) -> float | None:
        """The ratio that is best for the spiking network; None if there is none."""
        return max((x.ratio for x in self.ratios if x.ratio is not None), default=None)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, as in results.json and count.json; the ratios are its "lines"."""
        kept = ("spiking", "twin", "rate", "spikes_per_synapse")
        lines = [asdict(x) | {"break_even": x.break_even._asdict()} for x in self.ratios]
        bounds = {"low": self.low, "high": self.high}
        return {key: getattr(self, key) for key in kept} | {"lines": lines} | bounds


def compare_energy(
    spiking: Counts,
    twin: Counts,
    tables: Mapping[str, EnergyTable],
    views: Sequence[str] = COMPARED,
    names: tuple[str, str] = ("the spiking network", "the twin"),
    surroundings: Surroundings | None = None,
    twin_surroundings: Surroundings | None = None,
) -> EnergyComparison:
    """Compare the energy estimates of two networks under every table and view.

    A view that a table cannot price has no estimate. The surroundings of the twin, whose inference
    may take longer, are those of the spiking network unless given.

    Raises InputError if the first network has no neuron that can fire.
    """
    rate = spiking.rate
    if rate is None:
        raise InputError("no neuron of the first network can fire; give the spiking one first")
    without_spikes = silent(spiking)
    ratios = []
    for table in tables.values():
        for view in views:
            own, silent_own, other = (
                None if estimate is None else estimate.pj
                for estimate in (
                    energy(spiking, table, view, surroundings),
                    energy(without_spikes, table, view, surroundings),
                    energy(twin, table, view, twin_surroundings or surroundings),
                )
            )
            even = break_even(rate, own, silent_own, other, spiking.highest_rate)
            ratio = EnergyRatio(
                table.name, view, spiking_pj=own, twin_pj=other, ratio=_quotient(other, own),
                break_even=even, room=_quotient(even.rate, rate), cap=_quotient(other, silent_own),
            )  # fmt: skip
            ratios.append(ratio)
    return EnergyComparison(*names, rate, spikes_per_synapse(spiking), tuple(ratios))


def break_even(
    rate: float,
    own: float | None,
    silent_own: float | None,
    twin: float | None,
    highest: float = 1.0,
) -> BreakEven:
    """The rate at which a network needs what its twin needs.

    The network needs `own` at `rate`, and `silent_own` if no neuron fires. At most it fires at the
    rate `highest`, which is below 1 where groups of neurons sleep.

    >>> break_even(rate=0.1, own=30.0, silent_own=10.0, twin=50.0)
    BreakEven(rate=0.2, why='')
    >>> break_even(rate=0.1, own=30.0, silent_own=10.0, twin=5.0).why
    'at no rate: its input and updates alone cost more'
    """
    if own is None or silent_own is None or twin is None:
        return BreakEven(None, "no estimate")
    if rate == 0:
        return BreakEven(None, "not known: nothing fired, so the cost of a spike was not counted")
    if own <= silent_own:
        return BreakEven(None, "at no rate: its spikes make it no dearer")
    if twin <= silent_own:
        return BreakEven(None, "at no rate: its input and updates alone cost more")
    even = rate * (twin - silent_own) / (own - silent_own)
    if even > highest:
        all_that_can = "all neurons fire" if highest == 1 else "all neurons that are awake fire"
        return BreakEven(None, f"at no rate: it costs less even if {all_that_can} at every step")
    return BreakEven(even, "")


def spikes_per_synapse(counts: Counts) -> float:
    """How often a spike or event crosses a synapse in one inference, on average."""
    connections = [c for c in counts.connections if c.spiking]
    synapses = sum(c.synapses for c in connections)
    events = sum(sum(c.ops) for c in connections)
    return events / synapses / counts.inferences if synapses else 0.0


def _quotient(a: float | None, b: float | None) -> float | None:
    """a / b; None where one is missing or b is zero."""
    return a / b if a is not None and b else None
