"""The report: one HTML file that holds all it shows and needs no network to open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from spikern._utils import atomic
from spikern.cost.break_even import COMPARED
from spikern.cost.estimates import OPERATIONS
from spikern.cost.memory import BOUNDS
from spikern.plot.estimates import table_looks
from spikern.plot.sample import verdict
from spikern.report import sentences, terminal
from spikern.report.figures import (
    answer_rule,
    best_statements,
    marker_table,
    parts_table,
    pictures,
    reference_statement,
)
from spikern.studies.comparison import Sample

FOLDER = Path(__file__).parent


def write(results: dict[str, Any], sample: Sample | None, path: Path) -> None:
    """Write the report of a results.json, with a sample to show if a spiking network ran."""
    atomic.write(path, render(results, sample))


def render(results: dict[str, Any], sample: Sample | None) -> str:
    """The page as text."""
    best = best_statements(results)
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "accuracy": terminal.accuracy,
        "energy": terminal.energy,
        "percent": terminal.percent,
        "quantity": terminal.quantity,
        "duration": terminal.duration,
        "setting": setting,
    }
    return environment.get_template("template.html").render(
        **results,
        style=Markup((FOLDER / "style.css").read_text()),
        headline=sentences.headline(results),
        unit=sentences.unit(results),
        rows=[row(model, results) for model in results["models"]],
        pictures=pictures(results, sample),
        marker_table=marker_table(results),
        parts_table=parts_table(results),
        statements=[statement_row(s) for s in results["energy"]["statements"]],
        shown=reference_statement(best),
        priced=", ".join(table_looks(best)),
        sample=sample,
        verdict=verdict(sample, answer_rule(results)) if sample else None,
    )


def row(model: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
    """A model's entry of results.json with what the page says about it."""
    compared = [c for c in results["comparisons"] if c["model"] == model["name"]]
    ratios = compared[0]["energy_ratio"] if compared else {}
    estimates = [pj for pj in model["energy_pj"].values() if pj is not None]
    return model | {
        "updates": sum(model["ops_per_inference"]["neuron_updates"].values()),
        "energy": terminal.span(estimates, terminal.energy),
        "ratios": ratios,
        "ratio": terminal.span([r for r in ratios.values() if r is not None], times),
    }


def statement_row(said: dict[str, Any]) -> dict[str, Any]:
    """A statement with its intervals in words; a dash where no table has an estimate."""

    def extent(key: str, *views: str) -> str:
        chosen = [x[key] for x in said["lines"] if x["view"] in views and x[key] is not None]
        return terminal.span(chosen, times)

    rates = [x["break_even"]["rate"] for x in said["lines"] if x["ratio"] is not None]
    least = min((r for r in rates if r is not None), default=None)
    return said | {
        "operations": extent("ratio", OPERATIONS),
        "memory": extent("ratio", *BOUNDS),
        "caps": extent("cap", *COMPARED),
        "turns": "–" if least is None else terminal.percent(least),
    }


def times(ratio: float) -> str:
    """A ratio with a multiplication sign, so that it reads as a factor.

    >>> times(0.25), times(12.3)
    ('0.25×', '12×')
    """
    return f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.2g}×"


def setting(value: object) -> str:
    """A setting in words.

    >>> setting(None), setting(("LIF", "LSTM")), setting(0.005)
    ('none', 'LIF, LSTM', '0.005')
    """
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
