"""What is read from a part of a study's results: runs by model, what they did, how they grew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from spikern.statistics import mean
from spikern.study.growth import fit, predict

Part = dict[str, Any]
"""Of results.json, or one of its runs."""
Axis = Literal["parameters", "operations"]
AXES: tuple[Axis, ...] = ("parameters", "operations")
"""What growth is measured in; operations are the AC and MAC of one inference."""
BEYOND = 4.0
"""How many times the largest measured size a prediction reaches."""


def by_model(runs: Sequence[Part]) -> dict[str, list[Part]]:
    """The runs of every model, in the order of the runs."""
    found: dict[str, list[Part]] = {}
    for run in runs:
        found.setdefault(run["model"], []).append(run)
    return found


def per_inference(runs: Sequence[Part], kind: str) -> float:
    """Operations of one kind ("ac", "mac" or "updates") of one inference, mean over seeds."""

    def of_layer(ops: Part) -> int:
        counted = ops[kind]
        return sum(counted.values()) if isinstance(counted, dict) else counted

    return mean([sum(map(of_layer, r["ops"].values())) / r["inferences"] for r in runs])


def rate(runs: Sequence[Part]) -> float | None:
    """The firing rate of the hidden layers, mean over layers and seeds."""
    return mean([mean(run["rates"]) for run in runs]) if runs[0]["rates"] else None


def energies(runs: Sequence[Part]) -> list[float]:
    """The estimates in J by every table that prices all that was done, ascending."""
    priced = [
        [run["energy_pj"][name] for run in runs]
        for name, pj in runs[0]["energy_pj"].items()
        if pj is not None
    ]
    return sorted(1e-12 * mean(found) for found in priced)


def grown(part: Part, axis: Axis) -> dict[str, tuple[list[float], list[list[float]]]]:
    """Of every model of a study of growth: its sizes, and at each what every seed missed.

    What is missed is 1 - accuracy, or bits.
    """
    found = {}
    for model, runs in by_model(part["growth"]).items():
        by_budget: dict[int, list[Part]] = {}
        for run in runs:
            by_budget.setdefault(run["budget"], []).append(run)
        found[model] = (
            [size(of_budget, axis) for of_budget in by_budget.values()],
            [[missed(part, run) for run in of_budget] for of_budget in by_budget.values()],
        )
    return found


def size(runs: Sequence[Part], axis: Axis) -> float:
    """How large the runs of one budget are, in the mean over seeds."""
    if axis == "parameters":
        return float(runs[0]["parameters"])
    return per_inference(runs, "ac") + per_inference(runs, "mac")


def missed(part: Part, run: Part) -> float:
    """What a run misses: bits, or what its accuracy lacks of 1."""
    bits = part["plan"]["measure"] == "bits"
    return float(run["bits"] if bits else 1 - run["test_accuracy"])


def laws(part: Part) -> list[Part]:
    """The laws fitted to what every model missed, and what they say beyond; none without growth.

    The law with a break is fitted where there are seven sizes, which it needs.
    """
    found = []
    for axis in AXES:
        for model, (sizes, values) in grown(part, axis).items():
            for law in ("power", "broken") if len(sizes) > 6 else ("power",):
                fitted = fit(sizes, values, law)
                found.append(
                    {
                        "model": model,
                        "axis": axis,
                        "law": law,
                        "parameters": fitted.parameters,
                        "interval_of_b": fitted.intervals["b"],
                        "error": fitted.error,
                        "prediction": predict(fitted, [BEYOND * max(sizes)])[0]._asdict(),
                    }
                )
    return found
