"""The result of a comparison in sentences that are as plain when against spiking networks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from spikern.cost.memory import BOUNDS
from spikern.report.numbers import duration, energy, extent, lower_or_higher, percent, signed
from spikern.studies.results import best_on_validation, has_ended
from spikern.studies.statistics import verdict
from spikern.train.recipes import kind_of, recipe


def headline(results: dict[str, Any]) -> list[str]:
    """The sentences at the head of the report, what speaks against its numbers first."""
    models = results["models"]
    spiking = best_on_validation(models, "spiking")
    against = {c["model"]: c for c in results["comparisons"]}
    if spiking is None or spiking["name"] not in against:
        bests = [best_on_validation(models, kind) for kind in ("spiking", "standard")]
        return [
            *caveats(results),
            *(single(model, results) for model in bests if model is not None),
        ]
    comparison = against[spiking["name"]]
    other = next(m for m in models if m["name"] == comparison["against"])
    return [
        *caveats(results),
        accuracy(spiking, other, comparison, results),
        *best_standard(results, other["name"]),
        operations(comparison["energy_ratio"], other["name"], results["energy_tables"]),
        *memory(results["energy"], spiking["name"], other["name"]),
        *time(results, spiking, other),
    ]


def caveats(results: Mapping[str, Any]) -> Iterator[str]:
    """What a reader must know before any number: weak models, unequal sizes, short trainings."""
    models = results["models"]
    for what, reached in simple(results).items():
        if below := [m["name"] for m in models if m["test_accuracy"]["mean"] <= reached]:
            yield (
                f"No more accurate than {what}, which has no recurrence ({percent(reached)}): "
                f"{', '.join(below)}."
            )
    if results["settings"].get("match_parameters") is None and len(models) > 1:
        sizes = sorted(models, key=lambda m: int(m["parameters"]))
        yield (
            "The networks have equal width, not equal parameters: "
            f"{sizes[0]['parameters']:,} ({sizes[0]['name']}) to "
            f"{sizes[-1]['parameters']:,} ({sizes[-1]['name']})."
        )
    full = recipe(results["settings"]["dataset"])
    settings = results["settings"]
    epochs = {m["name"]: settings[f"{kind_of(m['name'])}_epochs"] for m in models}
    if any(n < full.of(name).epochs for name, n in epochs.items()):
        asked = [full.of(name).epochs for name in epochs]
        yield (
            f"A quick look: {extent(epochs.values(), '{:.0f}'.format)} epochs of training instead "
            f"of {extent(asked, '{:.0f}'.format)}; more may change which model is ahead."
        )
    curves = {
        m["name"]: [
            {"curve": [e["validation_accuracy"] for e in run["epochs"]]} for run in m["history"]
        ]
        for m in models
    }
    learned = {
        name: [r for r in runs if len(r["curve"]) == 1 or max(r["curve"]) > r["curve"][0]]
        for name, runs in curves.items()
    }
    if rising := [
        name for name, runs in learned.items() if runs and not has_ended(runs, "accuracy")
    ]:
        yield f"Still rising when training stopped, so not judged fairly: {', '.join(rising)}."


def simple(results: Mapping[str, Any]) -> dict[str, float]:
    """The test accuracy of classifiers without recurrence, by their word in the glossary."""
    found = {"majority class": results["dataset"]["majority_accuracy"]}
    if "logistic_regression" in results:
        found["logistic regression"] = results["logistic_regression"]["test_accuracy"]
    return found


def time(results: dict[str, Any], spiking: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    """The measured times; version 1 of results.json had none of the fastest runtime."""
    if results["schema"] > 1:
        own, others = (
            f"{duration(m['milliseconds_per_inference'])} in {m['inference_engine']}"
            for m in (spiking, other)
        )
        yield (
            f"On this computer one inference takes {own} for {spiking['name']} and {others} for "
            f"the {other['name']}, for each the fastest float32 runtime that is installed."
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
        f"{model['name']}, the {model['kind']} network that is best on validation, classifies "
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
    points = f"{abs(100 * difference['mean']):.1f}"
    side = "more" if difference["mean"] > 0 else "fewer"
    than = f"as many as the {other['name']}"
    if points != "0.0":
        than = f"{points} percentage points {side} than the {other['name']}"
    start = (
        f"{spiking['name']}, the spiking network that is best on validation, classifies "
        f"{percent(spiking['test_accuracy']['mean'])} of the {unit(results)} correctly, "
        f"{than}"
    )
    if difference["ci95"] is None:
        return f"{start}; with one seed each, this may be chance."
    low, high = difference["ci95"]
    clear = ", no clear difference" if verdict(low, high) == "undecided" else ""
    return (
        f"{start} (95% interval over {len(spiking['seeds'])} seeds: "
        f"{signed(100 * low)} to {signed(100 * high)}{clear})."
    )


def best_standard(results: dict[str, Any], named: str) -> Iterator[str]:
    """The accuracy of the standard network that is best on validation, unless it was `named`."""
    best = best_on_validation(results["models"], "standard")
    if best is not None and best["name"] != named:
        yield (
            f"{best['name']}, the standard network that is best on validation, classifies "
            f"{percent(best['test_accuracy']['mean'])} of the {unit(results)} correctly."
        )


def operations(ratios: dict[str, float | None], other: str, tables: dict[str, Any]) -> str:
    """How many times lower or higher the energy estimate is, as a range over the tables."""
    by_title = {tables[t]["title"]: r for t, r in ratios.items() if r is not None}
    if not by_title:
        return f"No table prices both networks, so no energy estimate compares it with the {other}."
    return (
        "For operations alone its energy estimate, mean over seeds, is "
        f"{lower_or_higher(list(by_title.values()))} that of the {other}, {source(by_title)}."
    )


def memory(energy: dict[str, Any], spiking: str, other: str) -> Iterator[str]:
    """The ratio with memory traffic, if a table prices it."""
    ratios = [
        line["ratio"]
        for s in energy["statements"]
        if s["spiking"] == spiking and s["twin"] == other
        for line in s["lines"]
        if line["view"] in BOUNDS and line["ratio"] is not None
    ]
    if ratios:
        yield (
            "With memory traffic, counted under a low and a high bound, the estimate of seed "
            f"{energy['seed']} is {lower_or_higher(ratios)} that of the {other}."
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


def unit(results: Mapping[str, Any]) -> str:
    """What an accuracy is a fraction of."""
    return "labelled test steps" if results["dataset"]["every_step"] else "test samples"
