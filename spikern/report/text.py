"""The comparison as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

HEADER = (
    "model", "accuracy", "params", "rate", "AC", "MAC", "updates", "energy est.", "vs LSTM", "time"
)  # fmt: skip


def table(results: dict[str, Any]) -> str:
    """One line a model; operations are of one inference, energies estimates over the tables."""
    lines = columns([HEADER] + [row(model, results) for model in results["models"]])
    lines.insert(1, "-" * len(lines[0]))
    lines.append(
        f"\nAccuracy on {results['dataset']['test']} held-out test samples, mean and 95 % interval "
        f"over seeds (majority class: {percent(results['dataset']['majority_accuracy'])})."
    )
    lines.append(
        f"Energy is an estimate for operations alone, from the lowest to the highest of the "
        f"{len(results['energy_tables'])} tables that price the\nmodel; 'vs LSTM' is how many "
        "times less than the LSTM by the same table. `spikern tables` lists them, the\nreport "
        "has memory traffic too. Time: one inference, batch 1, spiking networks streamed, others "
        "in torch;\n`spikern count --measure` times them on faster runtimes too."
    )
    return "\n".join(lines)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, the first column to the left, the others to the right.

    >>> columns([("model", "AC"), ("LIF", "1,234")])
    ['model     AC', 'LIF    1,234']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(r, widths)))
        for r in rows
    ]


def row(model: dict[str, Any], results: dict[str, Any]) -> tuple[str, ...]:
    """One model's cells."""
    ops = model["ops_per_inference"]
    ratios: dict[str, float | None] = next(
        (c["energy_ratio"] for c in results["comparisons"] if c["model"] == model["name"]), {}
    )
    return (
        model["name"],
        accuracy(model["test_accuracy"]),
        f"{model['parameters']:,}",
        "-" if model["rate"] is None else percent(model["rate"]),
        quantity(ops["ac"]),
        quantity(ops["mac"]),
        quantity(sum(ops["neuron_updates"].values())),
        span([pj for pj in model["energy_pj"].values() if pj is not None], energy),
        span([r for r in ratios.values() if r is not None], lambda r: f"{r:.2g}x"),
        duration(model),
    )


def percent(value: float) -> str:
    """A fraction as a percentage with one decimal."""
    return f"{value:.1%}"


def accuracy(entry: dict[str, Any]) -> str:
    """Mean, and half the interval where there is one."""
    if entry["ci95"] is None:
        return percent(entry["mean"])
    low, high = entry["ci95"]
    return f"{percent(entry['mean'])} ± {50 * (high - low):.1f}"


def span(values: list[float], show: Any) -> str:
    """Lowest to highest."""
    if not values:
        return "-"
    low, high = show(min(values)), show(max(values))
    return low if low == high else f"{low} – {high}"


def quantity(value: float) -> str:
    """A count in thousands or millions.

    >>> quantity(12_345), quantity(0), quantity(2_500_000)
    ('12.3 k', '0', '2.50 M')
    """
    if value >= 1e6:
        return f"{value / 1e6:.2f} M"
    return f"{value / 1e3:.1f} k" if value >= 1e3 else f"{value:.0f}"


def energy(pj: float) -> str:
    """An energy in pJ, nJ or uJ.

    >>> energy(1234.0)
    '1.23 nJ'
    """
    for unit, size in (("µJ", 1e6), ("nJ", 1e3)):
        if pj >= size:
            return f"{pj / size:.3g} {unit}"
    return f"{pj:.3g} pJ"


def duration(model: dict[str, Any]) -> str:
    """The time of an inference.

    >>> duration({"milliseconds_per_inference": 0.0271})
    '27 µs'
    """
    ms = model["milliseconds_per_inference"]
    return f"{ms:.2f} ms" if ms >= 0.1 else f"{1e3 * ms:.0f} µs"
