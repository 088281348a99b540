"""Statements, twins and measured times as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from spikern.ops.statement import BreakEven, Line, Statement
from spikern.report.text import columns, percent


def stated(said: Mapping[str, Any]) -> Iterator[str]:
    """A statement under its heading."""
    words = f"{said['spiking']} against {said['twin']}"
    yield from (words, "=" * len(words), restored(said).text())


def restored(said: Mapping[str, Any]) -> Statement:
    """The statement whose plain data these are."""
    lines = tuple(
        Line(**{**line, "break_even": BreakEven(**line["break_even"])}) for line in said["lines"]
    )
    return Statement(said["spiking"], said["twin"], said["rate"], said["spikes_per_synapse"], lines)


def interval(said: Mapping[str, Any]) -> str:
    """The ratios of a statement from the worst to the best.

    >>> interval({"low": 0.5, "high": 12.3}), interval({"low": None, "high": None})
    ('0.5x to 12.3x', 'no estimate')
    """
    if said["low"] is None:
        return "no estimate"
    return f"{said['low']:.3g}x to {said['high']:.3g}x"


def twins(found: dict[str, Any]) -> Iterator[str]:
    """The fair twins: at equal parameters, in int8, as sparse, as accurate."""
    yield from ("Fair twins", "==========")
    yield "Ratios are estimates, twin over spiking, over all tables and views that price both;"
    yield "above 1x the spiking network needs less."
    yield ""
    yield f"At equal {found['equal']}, as they were trained:"
    for said in found["statements"]:
        yield f"  {said['spiking']} against {said['twin']}: {interval(said)}"
    yield from int8(found["int8"])
    yield ""
    yield "Pruned to the connections of the spiking network:"
    for row in found["pruned"]:
        yield f"  {row['spiking']}, {row['twin']}: {row['why'] or pruned(row)}"
    yield ""
    yield "At equal accuracy on the test split:"
    for row in found["equal_accuracy"]:
        reached = ", ".join(row["reached_by"]) or "no standard model of this run"
        yield f"  {row['spiking']} gets {percent(row['test_accuracy'])}; as good: {reached}"
    for row in found["climbs"]:
        yield f"  {row['spiking']}, {row['twin']}: {climb(row)}"


def int8(found: Mapping[str, Any]) -> Iterator[str]:
    """Accuracies in int8, and the statement of the networks in int8."""
    yield ""
    yield "In int8, quantised after training, on the test split:"
    rows = [("  model", "scheme", "accuracy", "in float32", "same answers")]
    for row in found["measured"]:
        shares = (percent(row[key]) for key in ("accuracy", "float_accuracy", "agreement"))
        rows.append((f"  {row['model']}", row["scheme"], *shares))
    yield from columns(rows)
    for model, why in found["missing"].items():
        yield f"  {model}: {why}"
    for said in found["statements"]:
        yield f"  both in int8, {said['spiking']} against {said['twin']}: {interval(said)}"


def pruned(row: Mapping[str, Any]) -> str:
    """A pruned twin in a line."""
    return (
        f"{percent(row['density'])} of the weights kept, {percent(row['test_accuracy'])} right, "
        f"{interval(row['statement'])}"
    )


def climb(row: Mapping[str, Any]) -> str:
    """A ladder of sizes in a line."""
    tried = ", ".join(
        f"{rung['hidden']} units {percent(rung['validation_accuracy'])}" for rung in row["rungs"]
    )
    aim = f"wanted {percent(row['target'])} on validation; {tried}"
    if row["reached"] is None:
        return f"{aim}: not reached"
    return (
        f"{aim}: reached with {row['reached']} units, {percent(row['test_accuracy'])} of the test "
        f"split right, {interval(row['statement'])}"
    )


def measured(found: Mapping[str, Any]) -> Iterator[str]:
    """Times on this machine, joules or why there are none."""
    yield from ("Measured on this machine, one thread", "=" * 36)
    rows = [("network", "equal", "runtime", "batch", "ms", "x first", "joules")]
    for row in found["rows"]:
        joules = "-" if row["joules"] is None else f"{row['joules']:.3g}"
        numbers = (str(row["batch"]), f"{row['ms']:.4g}", f"{row['ratio']:.3g}", joules)
        rows.append((row["name"], row["equal"] or "-", row["runtime"], *numbers))
    yield from columns(rows)
    yield f"Joules: {found['no_joules'] or 'of one inference, idle power subtracted'}."
    for what, why in found["missing"].items():
        yield f"Not run: {what}: {why}"
