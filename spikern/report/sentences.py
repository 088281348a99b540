"""The result of a comparison in plain sentences, as plain when it is against spiking networks."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from spikern.cost.memory import BOUNDS
from spikern.report.terminal import duration, energy, percent, span


def headline(results: dict[str, Any]) -> list[str]:
    """The sentences at the head of the report."""
    models = results["models"]
    spiking = best(models, "spiking")
    against = {c["model"]: c for c in results["comparisons"]}
    if spiking is None or spiking["name"] not in against:
        each = [best(models, kind) for kind in ("spiking", "standard")]
        return [alone(model, results) for model in each if model is not None]
    comparison = against[spiking["name"]]
    other = next(m for m in models if m["name"] == comparison["against"])
    return [
        accuracy(spiking, other, comparison, results),
        ratio(comparison["energy_ratio"], other["name"], results["energy_tables"]),
        *memory(results["energy"]["statements"], spiking["name"], other["name"]),
        f"On this computer one inference takes {spiking['name']} {duration(spiking)} in the stream "
        f"engine and the {other['name']} {duration(other)} in torch.",
    ]


def best(models: list[dict[str, Any]], kind: str) -> dict[str, Any] | None:
    """The most accurate model of a kind."""
    return max(
        (m for m in models if m["kind"] == kind),
        key=lambda m: m["test_accuracy"]["mean"],
        default=None,
    )


def alone(model: dict[str, Any], results: dict[str, Any]) -> str:
    """A model with nothing to compare it with."""
    known = {
        results["energy_tables"][table]["title"]: pj
        for table, pj in model["energy_pj"].items()
        if pj is not None
    }
    cost = (
        f"an energy estimate of {span(list(known.values()), energy)} per inference {by(known)}"
        if known
        else "no energy estimate, for no table prices its operations"
    )
    return (
        f"{model['name']}, the most accurate {model['kind']} network here, gets "
        f"{percent(model['test_accuracy']['mean'])} of the {unit(results)} right, with {cost}."
    )


def accuracy(
    spiking: dict[str, Any],
    other: dict[str, Any],
    comparison: dict[str, Any],
    results: dict[str, Any],
) -> str:
    """The difference of accuracies with its interval, and whether it is a clear one."""
    difference = comparison["accuracy_difference"]
    points = abs(100 * difference["mean"])
    side = "more" if difference["mean"] > 0 else "fewer"
    start = (
        f"{spiking['name']}, the most accurate spiking network here, gets "
        f"{percent(spiking['test_accuracy']['mean'])} of the {unit(results)} right, "
        f"{points:.1f} percentage points {side} than the {other['name']}"
    )
    if difference["ci95"] is None:
        return f"{start}; with one seed each, this may be chance."
    low, high = difference["ci95"]
    clear = "" if low > 0 or high < 0 else ", no clear difference"
    return (
        f"{start} (95% interval over {len(spiking['seeds'])} seeds: "
        f"{signed(low)} to {signed(high)}{clear})."
    )


def ratio(ratios: dict[str, float | None], other: str, tables: dict[str, Any]) -> str:
    """How many times lower or higher the energy estimate is, as a range over the tables."""
    known = {tables[t]["title"]: r for t, r in ratios.items() if r is not None}
    if not known:
        return f"No table prices both, so there is no energy estimate to set against the {other}'s."
    return (
        f"For operations alone its energy estimate is {compared(list(known.values()))} than the "
        f"{other}'s, {by(known)}."
    )


def memory(statements: list[dict[str, Any]], spiking: str, other: str) -> Iterator[str]:
    """What is left of the ratio once memory is priced, if a table prices it."""
    found = [
        line["ratio"]
        for s in statements
        if s["spiking"] == spiking and s["twin"] == other
        for line in s["lines"]
        if line["view"] in BOUNDS and line["ratio"] is not None
    ]
    if found:
        yield (
            f"With memory traffic, counted under a low and a high bound, the estimate is "
            f"{compared(found)} than the {other}'s."
        )


def compared(ratios: list[float]) -> str:
    """Ratios as a range in words.

    >>> compared([2.0, 8.0]), compared([0.5, 0.25])
    ('2.0 – 8.0 times lower', '2.0 – 4.0 times higher')
    >>> compared([0.5, 4.0])
    'from 2.0 times higher to 4.0 times lower'
    """
    low, high = min(ratios), max(ratios)
    if low >= 1.0:
        return f"{span([low, high], fold)} times lower"
    if high <= 1.0:
        return f"{span([1 / high, 1 / low], fold)} times higher"
    return f"from {fold(1 / low)} times higher to {fold(high)} times lower"


def by(titles: Collection[str]) -> str:
    """The tables that an estimate is from: up to two by name, more by number.

    >>> by(["45 nm", "Loihi 1"]), by(["a", "b", "c"])
    ('by the tables “45 nm” and “Loihi 1”', 'by 3 energy tables')
    """
    named = [f"“{title}”" for title in titles]
    if len(named) > 2:
        return f"by {len(named)} energy tables"
    return f"by the table{'s' if len(named) > 1 else ''} {' and '.join(named)}"


def unit(results: dict[str, Any]) -> str:
    """What an accuracy is a fraction of."""
    return "labelled test steps" if results["dataset"]["every_step"] else "test samples"


def fold(times: float) -> str:
    """A factor with two digits.

    >>> fold(3.14159), fold(123.4)
    ('3.1', '123')
    """
    return f"{times:.0f}" if times >= 10 else f"{times:.1f}"


def signed(fraction: float) -> str:
    """A difference in percentage points with its sign.

    >>> signed(-0.0123)
    '−1.2'
    """
    return f"{100 * fraction:+.1f}".replace("-", "−")
