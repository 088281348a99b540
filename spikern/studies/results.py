"""The entries of results.json: of a comparison, and what tables read from a study's runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Literal

from spikern.cost.counts import Ops, total
from spikern.cost.estimates import PJ
from spikern.cost.prices import tables
from spikern.data.dataset import Dataset
from spikern.studies.scaling import NEEDED, can_fit, fit, predict
from spikern.studies.statistics import mean, summary

Part = dict[str, Any]
"""The part of results.json that one plan makes, or one of its runs."""
Axis = Literal["parameters", "operations"]
AXES: tuple[Axis, ...] = ("parameters", "operations")
"""The measures of size in a law of growth; operations are the AC and MAC of one inference."""
RISING = 0.02
"""Largest late gain of a training that counts as ended."""
BEYOND = 4.0
"""The size of a prediction, in multiples of the largest measured size."""


def by_model(runs: Sequence[Part]) -> dict[str, list[Part]]:
    """The runs of every model, in the order of the runs."""
    found: dict[str, list[Part]] = {}
    for run in runs:
        found.setdefault(run["model"], []).append(run)
    return found


def independent(runs: Sequence[Part], value: str) -> list[float]:
    """The values of a model's runs; where these are of several data sets, one mean for each.

    Two seeds that hold out the same speaker share a test, so that only speakers are independent.
    Runs of before, which do not name their data set, are of one.

    >>> runs = [{"dataset": d, "bits": b} for d, b in (("one", 2.0), ("two", 1.0), ("one", 3.0))]
    >>> independent(runs, "bits"), independent(runs[::2], "bits")
    ([2.5, 1.0], [2.0, 3.0])
    """
    by_dataset: dict[str | None, list[float]] = {}
    for run in runs:
        by_dataset.setdefault(run.get("dataset"), []).append(float(run[value]))
    found = [*by_dataset.values()]
    return found[0] if len(found) == 1 else [mean(values) for values in found]


def per_inference(runs: Sequence[Part], kind: str) -> float:
    """Operations of one kind ("ac", "mac" or "updates") of one inference, mean over seeds."""

    def of_layer(ops: Part) -> int:
        counted = ops[kind]
        return sum(counted.values()) if isinstance(counted, dict) else counted

    return mean([sum(map(of_layer, r["ops"].values())) / r["inferences"] for r in runs])


def rate(runs: Sequence[Part]) -> float | None:
    """The firing rate of all hidden neurons, mean over seeds; None without spikes."""
    if not runs[0]["rates"]:
        return None
    return mean([of_neurons(run["rates"], run["hidden"]) for run in runs])


def of_neurons(rates: Sequence[float], hidden: int | Sequence[int]) -> float:
    """The rate of all neurons of layers with these rates and these many neurons, or as many each.

    >>> of_neurons([0.25, 0.5], [3, 1]), of_neurons([0.25, 0.5], 8)
    (0.3125, 0.375)
    """
    sizes = [hidden] * len(rates) if isinstance(hidden, int) else hidden
    return sum(rate * size for rate, size in zip(rates, sizes, strict=True)) / sum(sizes)


def energies(runs: Sequence[Part], beside: Sequence[Part]) -> dict[str, float]:
    """The estimates in J by every table that prices all of `beside` too, so that they compare."""
    return {
        name: mean([run["energy_pj"][name] for run in runs]) / PJ
        for name in tables()
        if all(run["energy_pj"].get(name) is not None for run in (*runs, *beside))
    }


def curve_of(run: Part, measure: str) -> list[float]:
    """What a run reached on validation after every epoch, more is better: accuracies or -loss.

    Runs of before have accuracies alone.
    """
    if measure == "bits" and "loss_curve" in run:
        return [-loss for loss in run["loss_curve"]]
    return list(run["curve"])


def late_gain(curve: Sequence[float]) -> float:
    """The share of the gain that came in the last tenth of the epochs, between them a line.

    The gain is that of the best so far over the first epoch. Where there is none, as of a single
    epoch or of a training that learned nothing, it is all; a task that was solved in the first
    epoch, with an accuracy of 1, leaves none.

    >>> late_gain([0.2, *[0.9] * 18, 0.9])
    0.0
    >>> round(late_gain([k / 10 for k in range(10)]), 3)
    0.111
    >>> round(late_gain([0.0, *[0.5] * 10, 1.0]), 3)  # of twelve epochs, the last 1.2
    0.5
    >>> late_gain([0.1, 0.1]), late_gain([1.0, 1.0])
    (1.0, 0.0)
    """
    best = list(accumulate(curve, max))
    gain = best[-1] - curve[0]
    if gain <= 0:
        return 0.0 if curve[0] == 1.0 and len(curve) > 1 else 1.0
    at = len(curve) - len(curve) / 10
    whole = int(at)
    before = best[whole - 1] + (at - whole) * (best[whole] - best[whole - 1])
    return (best[-1] - before) / gain


def has_ended(runs: Sequence[Part], measure: str) -> bool:
    """Whether the last tenth of the epochs brought no more than RISING of the gain, on average."""
    return mean([late_gain(curve_of(run, measure)) for run in runs]) <= RISING


def errors_by_size(part: Part, axis: Axis) -> dict[str, tuple[list[float], list[list[float]]]]:
    """The sizes of every model of a study of growth, and the error of every seed at each size."""
    found = {}
    for model, runs in by_model(part["growth"]).items():
        by_budget: dict[int, list[Part]] = {}
        for run in runs:
            by_budget.setdefault(run["budget"], []).append(run)
        found[model] = (
            [size(of_budget, axis) for of_budget in by_budget.values()],
            [[error(part, run) for run in of_budget] for of_budget in by_budget.values()],
        )
    return found


def size(runs: Sequence[Part], axis: Axis) -> float:
    """The size of the runs of one budget, mean over seeds."""
    if axis == "parameters":
        return float(runs[0]["parameters"])
    return per_inference(runs, "ac") + per_inference(runs, "mac")


def error(part: Part, run: Part) -> float:
    """The error of a run: 1 - test accuracy, or bits per answer where the plan measures bits."""
    bits = part["plan"]["measure"] == "bits"
    return float(run["bits"] if bits else 1 - run["test_accuracy"])


def laws(part: Part) -> list[Part]:
    """The laws fitted to the errors of every model, with predictions; empty without growth.

    Each law is fitted where there are as many sizes and seeds as it needs, and no error is 0.
    """
    found = []
    for axis in AXES:
        for model, (sizes, values) in errors_by_size(part, axis).items():
            for law in (known for known in NEEDED if can_fit(sizes, values, known)):
                fitted = fit(sizes, values, law)
                found.append(
                    {
                        "model": model,
                        "axis": axis,
                        "law": law,
                        "parameters": fitted.parameters,
                        "interval_of_b": fitted.intervals["b"],
                        "error": fitted.error,
                        "aicc": fitted.aicc if math.isfinite(fitted.aicc) else None,
                        "prediction": predict(fitted, [BEYOND * max(sizes)])[0]._asdict(),
                    }
                )
    return found


REFERENCE_MODEL = "LSTM"
"""The standard network that others are compared with, where it was run."""


def describe(dataset: Dataset) -> dict[str, Any]:
    """The data set's entry in results.json."""
    return {
        "name": dataset.name,
        "title": dataset.title,
        "source": dataset.source,
        "licence": dataset.licence,
        "train": len(dataset.train),
        "validation": len(dataset.validation),
        "test": len(dataset.test),
        "steps": dataset.longest,
        "features": dataset.input_size,
        "classes": dataset.classes,
        "class_names": list(dataset.class_names),
        "every_step": dataset.every_step,
        "events": dataset.events,
        "majority_accuracy": dataset.majority_accuracy,
    }


def summarise(results: list[dict[str, Any]]) -> dict[str, Any]:
    """One model's entry in results.json, from its results over the seeds."""
    first = results[0]
    runs = sum(r["inferences"] for r in results)
    layers = {name: sum((Ops(**r["ops"][name]) for r in results), Ops()) for name in first["ops"]}
    accuracies: dict[str, Any] = {
        key: {"per_seed": [r[key] for r in results], **summary([r[key] for r in results])}
        for key in ("test_accuracy", "test_accuracy_all_steps")
        if key in first
    }
    by_layer = [mean(rates) for rates in zip(*(r["rates"] for r in results))]
    return {
        **{key: first[key] for key in ("name", "kind", "engine", "hidden", "parameters")},
        "seeds": [r["seed"] for r in results],
        **accuracies,
        "rate": rate(results),
        "rates_by_layer": by_layer,
        "ops_per_inference": ops_per_inference(total(layers), runs),
        "ops_by_layer": [
            {"layer": name, **ops_per_inference(counted, runs)} for name, counted in layers.items()
        ],
        "energy_pj": {
            table: None if pj is None else mean([r["energy_pj"][table] for r in results])
            for table, pj in first["energy_pj"].items()
        },
        "history": [{key: r[key] for key in ("seed", "best_epoch", "epochs")} for r in results],
    }


def ops_per_inference(counted: Ops, runs: int) -> dict[str, Any]:
    """Counts of one inference, on average."""
    return {
        "ac": counted.ac / runs,
        "mac": counted.mac / runs,
        "neuron_updates": {kind: n / runs for kind, n in sorted(counted.updates.items())},
        "dense": counted.dense / runs,
    }


def validation_accuracy(model: Part) -> float:
    """The validation accuracy of a model of results.json at its kept epochs, mean over seeds."""
    return mean([h["epochs"][h["best_epoch"] - 1]["validation_accuracy"] for h in model["history"]])


def best_on_validation(models: Sequence[Part], kind: str) -> Part | None:
    """The model of a kind with the highest validation accuracy; None if there is none."""
    of_kind = [model for model in models if model["kind"] == kind]
    return max(of_kind, key=validation_accuracy, default=None)


def compare_models(models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every model against the LSTM, paired by seed; a ratio above 1 means less than the LSTM."""
    by_name = {m["name"]: m for m in models}
    if REFERENCE_MODEL not in by_name:
        return []
    other = by_name[REFERENCE_MODEL]
    compared = []
    for model in models:
        if model is other:
            continue
        pairs = zip(model["test_accuracy"]["per_seed"], other["test_accuracy"]["per_seed"])
        ratios = {
            table: other["energy_pj"][table] / pj
            if pj and other["energy_pj"][table] is not None
            else None
            for table, pj in model["energy_pj"].items()
        }
        compared.append(
            {
                "model": model["name"],
                "against": REFERENCE_MODEL,
                "accuracy_difference": summary([a - b for a, b in pairs]),
                "energy_ratio": ratios,
            }
        )
    return compared
