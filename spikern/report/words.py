"""The result of a comparison in plain sentences, as plain when it is against spiking networks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from spikern.report.text import energy, percent, span


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
        f"On this computer an inference takes {spiking['name']} {duration(spiking)} "
        f"and the {other['name']} {duration(other)}.",
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
    low, high = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    if known[low] >= 1.0:
        extent = span([known[low], known[high]], fold)
        return f"Its energy estimate is {extent} times lower than the {other}'s, {by(known)}."
    if known[high] <= 1.0:
        extent = span([1 / known[high], 1 / known[low]], fold)
        return f"Its energy estimate is {extent} times higher than the {other}'s, {by(known)}."
    return (
        f"The tables disagree on energy: its estimate is {fold(1 / known[low])} times higher than "
        f"the {other}'s by “{low}” and {fold(known[high])} times lower by “{high}”."
    )


def by(titles: Iterable[str]) -> str:
    """The tables that an estimate is from.

    >>> by(["45 nm", "Loihi 1"])
    'by the tables “45 nm” and “Loihi 1”'
    """
    *others, last = [f"“{title}”" for title in titles]
    return f"by the tables {', '.join(others)} and {last}" if others else f"by the table {last}"


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


def duration(model: dict[str, Any]) -> str:
    """The time of an inference."""
    return f"{model['milliseconds_per_inference']:.2f} ms"
