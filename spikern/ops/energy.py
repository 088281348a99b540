"""Energy estimates: counts times the prices of a table, every table with its source.

A table is a TOML file. It prices synaptic work (`ac`, `mac`) and neuron updates either

    updates = "by operation"   each mul, add, compare, exp, ... has a price, or
    updates = "by neuron"      update_active (it fired), update_inactive, spike.

A count that a table has no price for has no estimate: None, never zero.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spikern.ops.count import Ops
from spikern.types import DataError

FOLDER = Path(__file__).parent / "tables"


@dataclass(frozen=True)
class EnergyTable:
    """Prices in pJ, with their source and what they leave out."""

    name: str
    title: str
    source: str
    not_modelled: str
    updates: str
    pj: Mapping[str, float]


def read(path: Path) -> EnergyTable:
    """A table from its file, checked entry by entry."""
    try:
        raw = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"cannot read the energy table {path}: {error}") from error
    for key in ("title", "source", "not_modelled", "updates", "pj"):
        if key not in raw:
            raise DataError(f"{path}: the energy table lacks '{key}'")
    if raw["updates"] not in ("by operation", "by neuron"):
        raise DataError(f"{path}: updates must be 'by operation' or 'by neuron'")
    for kind, price in raw["pj"].items():
        if not isinstance(price, int | float) or not math.isfinite(price) or price < 0:
            raise DataError(f"{path}: the price of {kind} must be a number >= 0, got {price!r}")
    return EnergyTable(path.stem, **raw)


def tables() -> dict[str, EnergyTable]:
    """The tables that come with the package.

    >>> sorted(tables())
    ['45nm_fp32', '45nm_int8', 'loihi1']
    """
    return {path.stem: read(path) for path in sorted(FOLDER.glob("*.toml"))}


def estimate(ops: Ops, table: EnergyTable) -> float | None:
    """The estimated energy in pJ, or None if the table cannot price what was done.

    >>> estimate(Ops(ac=10, mac=2), tables()["45nm_fp32"])
    18.2
    """
    done = {"ac": ops.ac, "mac": ops.mac}
    if table.updates == "by operation":
        done |= ops.updates
    else:
        done |= {
            "update_active": ops.spikes,
            "update_inactive": ops.neuron_updates - ops.spikes,
            "spike": ops.spikes,
        }
    if any(n and kind not in table.pj for kind, n in done.items()):
        return None
    return math.fsum(n * table.pj[kind] for kind, n in done.items() if n)
