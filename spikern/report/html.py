"""The report of a comparison: one HTML file that contains all it shows and loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
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
from spikern.report import figures, sentences
from spikern.report.glossary import WORDS, anchor
from spikern.report.numbers import (
    aligned_count,
    duration,
    energy,
    extent,
    or_else,
    percent,
    ratio,
    units,
)
from spikern.report.terminal import accuracy
from spikern.studies.samples import Sample

FOLDER = Path(__file__).parent


def write_html(results: dict[str, Any], samples: Sequence[Sample], path: str | Path) -> None:
    """Write the report of a results.json, with samples as `spikern.studies.compare` draws them."""
    atomic.write(Path(path), render(results, samples))


def render(results: dict[str, Any], samples: Sequence[Sample]) -> str:
    """The page as text."""
    best = figures.best_comparisons(results)
    environment = Environment(
        loader=FileSystemLoader(FOLDER), undefined=StrictUndefined, autoescape=True,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    filters = (accuracy, anchor, energy, percent, duration, setting, units)
    environment.filters |= {f.__name__: f for f in filters} | {"count": aligned_count}
    return environment.get_template("template.html").render(
        **results,
        style=Markup((FOLDER / "style.css").read_text(encoding="utf-8")),
        headline=sentences.headline(results),
        unit=sentences.unit(results),
        rows=[row(model, results) for model in results["models"]],
        timed=results["schema"] > 1,
        simple=sentences.simple(results),
        glossary=WORDS,
        pictures=figures.pictures(results, samples),
        marker_table=figures.marker_table(results),
        parts_table=figures.parts_table(results),
        comparison_rows=[comparison_row(c) for c in results["energy"]["statements"]],
        shown=figures.reference_comparison(best),
        priced=", ".join(table_looks(best)),
        verdicts=[verdict(sample, figures.answer_rule(results)) for sample in samples],
    )


def row(model: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
    """A model's entry of results.json with the texts of its row in the table."""
    compared = [c for c in results["comparisons"] if c["model"] == model["name"]]
    ratios = compared[0]["energy_ratio"] if compared else {}
    return model | {
        "updates": sum(model["ops_per_inference"]["neuron_updates"].values()),
        "energy": extent(model["energy_pj"].values(), energy),
        "ratio": extent(ratios.values(), times),
    }


def comparison_row(comparison: dict[str, Any]) -> dict[str, Any]:
    """A comparison with its intervals as text; a dash where no table has an estimate."""

    def over(key: str, *views: str) -> str:
        return extent((x[key] for x in comparison["lines"] if x["view"] in views), times)

    priced = [x for x in comparison["lines"] if x["ratio"] is not None]
    rates = [x["break_even"]["rate"] for x in priced]
    lowest = min((r for r in rates if r is not None), default=None)
    never = any(x["cap"] is not None and x["cap"] <= 1 for x in priced)
    return comparison | {
        "operations": over("ratio", OPERATIONS),
        "memory": over("ratio", *BOUNDS),
        "caps": over("cap", *COMPARED),
        "lowest_break_even": "none" if never else or_else(lowest, percent, "–"),
    }


def times(value: float) -> str:
    """A ratio with a multiplication sign.

    >>> times(12.3)
    '12×'
    """
    return ratio(value, sign="×")


def setting(value: object) -> str:
    """A setting as text.

    >>> setting(None), setting(("LIF", "LSTM")), setting(0.005)
    ('none', 'LIF, LSTM', '0.005')
    """
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
