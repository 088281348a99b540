"""Measurements as rows of ratios, and the rows as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict

from spikern.bench.peers import FUSED, STREAM

UNITS = {"train": "ms", "infer": "ms", "memory": "MiB", "step": "us"}
SUBJECTS = {"train": FUSED, "infer": STREAM, "memory": FUSED, "step": STREAM}
"""Spikern's engine for each kind of work; its others are peers."""


class Measured(NamedTuple):
    """One number: of whom, doing what at which work; `rate` None where it changes nothing."""

    work: str
    what: str
    name: str
    rate: float | None
    value: float
    least: float


class Row(TypedDict):
    """A peer's value beside spikern's, and their ratio; above 1 spikern takes less."""

    work: str
    what: str
    rate: float
    peer: str
    spikern: float
    peer_value: float
    ratio: float


def rows(measured: Sequence[Measured], fastest: bool = False) -> list[Row]:
    """A row for every work, kind, rate and peer that spikern was measured beside.

    Of medians, or of the `fastest` samples, which a busy machine disturbs less.

    >>> rows([Measured("S", "train", FUSED, 0.05, 2.0, 2.0),
    ...       Measured("S", "train", "nn.RNN", None, 6.0, 5.0)])[0]["ratio"]
    3.0
    """
    found: list[Row] = []
    if fastest:
        measured = [m._replace(value=m.least) for m in measured]
    for own in measured:
        if own.name != SUBJECTS[own.what] or own.rate is None:
            continue
        for other in measured:
            same = (other.work, other.what) == (own.work, own.what)
            if same and other.name != own.name and other.rate in (None, own.rate):
                found.append(
                    Row(
                        work=own.work, what=own.what, rate=own.rate, peer=other.name,
                        spikern=own.value, peer_value=other.value, ratio=other.value / own.value,
                    )
                )  # fmt: skip
    return found


def table(rows: Sequence[Row]) -> str:
    """The rows as a table in Markdown, a line for each work, kind and rate."""
    names = list(dict.fromkeys(row["peer"] for row in rows))
    groups: dict[tuple[str, str, float], dict[str, Row]] = {}
    for row in rows:
        groups.setdefault((row["work"], row["what"], row["rate"]), {})[row["peer"]] = row
    lines = [
        f"| work | what | rate | spikern | {' | '.join(names)} |",
        "| --- | --- " + "| ---: " * (len(names) + 2) + "|",
    ]
    for (work, what, rate), by_name in groups.items():
        own = next(iter(by_name.values()))["spikern"]
        cells = [f"{by_name[n]['ratio']:.3g}x" if n in by_name else "-" for n in names]
        value = f"{own:.3g} {UNITS[what]}"
        lines.append(f"| {work} | {what} | {rate:.0%} | {value} | {' | '.join(cells)} |")
    return "\n".join(lines)


def as_dicts(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """The measurements for a file, each with its unit."""
    return [m._asdict() | {"unit": UNITS[m.what]} for m in measured]
