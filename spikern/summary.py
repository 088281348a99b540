"""What results.json says of a data set, a model over its seeds, and models beside the LSTM."""

from __future__ import annotations

from typing import Any

from spikern.data.dataset import Dataset
from spikern.ops import Ops, total
from spikern.statistics import mean, summary

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
        "ops_per_inference": per_inference(total(layers), runs),
        "ops_by_layer": [
            {"layer": name, **per_inference(counted, runs)} for name, counted in layers.items()
        ],
        "energy_pj": {
            table: None if pj is None else mean([r["energy_pj"][table] for r in results])
            for table, pj in first["energy_pj"].items()
        },
        "history": [{key: r[key] for key in ("seed", "best_epoch", "epochs")} for r in results],
    }


def per_inference(counted: Ops, runs: int) -> dict[str, Any]:
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
