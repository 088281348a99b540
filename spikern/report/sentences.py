"""The result of a comparison in sentences that are as plain when against spiking networks."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from spikern.cost.memory import BOUNDS
from spikern.report.numbers import duration, energy, extent, lower_or_higher, percent, signed


def headline(results: dict[str, Any]) -> list[str]:
    """The sentences at the head of the report."""
    models = results["models"]
    spiking = best(models, "spiking")
    against = {c["model"]: c for c in results["comparisons"]}
    if spiking is None or spiking["name"] not in against:
        bests = [best(models, kind) for kind in ("spiking", "standard")]
        return [single(model, results) for model in bests if model is not None]
    comparison = against[spiking["name"]]
    other = next(m for m in models if m["name"] == comparison["against"])
    own_time, other_time = (duration(m["milliseconds_per_inference"]) for m in (spiking, other))
    return [
        accuracy(spiking, other, comparison, results),
        operations(comparison["energy_ratio"], other["name"], results["energy_tables"]),
        *memory(results["energy"]["statements"], spiking["name"], other["name"]),
        f"On this computer one inference takes {own_time} for {spiking['name']} in the stream "
        f"engine and {other_time} for the {other['name']} in torch.",
    ]


def best(models: list[dict[str, Any]], kind: str) -> dict[str, Any] | None:
    """The most accurate model of a kind."""
    return max(
        (m for m in models if m["kind"] == kind),
        key=lambda m: m["test_accuracy"]["mean"],
        default=None,
    )


def single(model: dict[str, Any], results: dict[str, Any]) -> str:
    """The accuracy and energy estimate of a model without a comparison."""
    by_title = {
        results["energy_tables"][table]["title"]: pj
        for table, pj in model["energy_pj"].items()
        if pj is not None
    }
    estimate = (
        f"an energy estimate of {extent(list(by_title.values()), energy)} per inference "
        f"{source(by_title)}"
        if by_title
        else "no energy estimate, because no table prices its operations"
    )
    return (
        f"{model['name']}, the most accurate {model['kind']} network here, classifies "
        f"{percent(model['test_accuracy']['mean'])} of the {unit(results)} correctly, with "
        f"{estimate}."
    )


def accuracy(
    spiking: dict[str, Any],
    other: dict[str, Any],
    comparison: dict[str, Any],
    results: dict[str, Any],
) -> str:
    """The difference of accuracies with its interval, and whether it is clear."""
    difference = comparison["accuracy_difference"]
    points = abs(100 * difference["mean"])
    side = "more" if difference["mean"] > 0 else "fewer"
    start = (
        f"{spiking['name']}, the most accurate spiking network here, classifies "
        f"{percent(spiking['test_accuracy']['mean'])} of the {unit(results)} correctly, "
        f"{points:.1f} percentage points {side} than the {other['name']}"
    )
    if difference["ci95"] is None:
        return f"{start}; with one seed each, this may be chance."
    low, high = difference["ci95"]
    clear = "" if low > 0 or high < 0 else ", no clear difference"
    return (
        f"{start} (95% interval over {len(spiking['seeds'])} seeds: "
        f"{signed(100 * low)} to {signed(100 * high)}{clear})."
    )


def operations(ratios: dict[str, float | None], other: str, tables: dict[str, Any]) -> str:
    """How many times lower or higher the energy estimate is, as a range over the tables."""
    by_title = {tables[t]["title"]: r for t, r in ratios.items() if r is not None}
    if not by_title:
        return f"No table prices both networks, so no energy estimate compares it with the {other}."
    return (
        f"For operations alone its energy estimate is {lower_or_higher(list(by_title.values()))} "
        f"than that of the {other}, {source(by_title)}."
    )


def memory(statements: list[dict[str, Any]], spiking: str, other: str) -> Iterator[str]:
    """The ratio with memory traffic, if a table prices it."""
    ratios = [
        line["ratio"]
        for s in statements
        if s["spiking"] == spiking and s["twin"] == other
        for line in s["lines"]
        if line["view"] in BOUNDS and line["ratio"] is not None
    ]
    if ratios:
        yield (
            "With memory traffic, counted under a low and a high bound, the estimate is "
            f"{lower_or_higher(ratios)} than that of the {other}."
        )


def source(titles: Collection[str]) -> str:
    """The tables behind an estimate: up to two by name, more by number.

    >>> source(["45 nm", "Loihi 1"]), source(["a", "b", "c"])
    ('by the tables “45 nm” and “Loihi 1”', 'by 3 energy tables')
    """
    quoted = [f"“{title}”" for title in titles]
    if len(quoted) > 2:
        return f"by {len(quoted)} energy tables"
    return f"by the table{'s' if len(quoted) > 1 else ''} {' and '.join(quoted)}"


def unit(results: dict[str, Any]) -> str:
    """What an accuracy is a fraction of."""
    return "labelled test steps" if results["dataset"]["every_step"] else "test samples"
