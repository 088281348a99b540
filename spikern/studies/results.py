"""What is read from a part of a study's results: runs by model, what they did, how they grew.

What results.json says of a data set, a model over its seeds, and models beside the LSTM.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from spikern.cost.counts import Ops, total
from spikern.data.dataset import Dataset
from spikern.studies.scaling import fit, predict
from spikern.studies.statistics import mean, summary

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


REFERENCE_MODEL = "LSTM"


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
        "steps": dataset.test.x.shape[0],
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
        "rate": mean(by_layer) if by_layer else None,
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
