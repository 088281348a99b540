"""Energy tables: prices of single operations, from TOML files that name their sources.

    title, source, node, precision, not_modelled     text; not_modelled names what is left out
    updates = "by operation"    each mul, add, compare, exp, ... of a neuron update has a price
              "by neuron"       update_active (it fired), update_inactive, spike
              "by unit"         one price per unit: update_<model> (update_LSTM), else
                                update_spiking for a spiking neuron; reset per spike
                                (the last two ways price no arithmetic outside of units)
    [bits]  weights, states     widths of memory traffic
    [pj]    prices in pJ        ac is required; an operation without a price has no estimate
    [sram]  access_bits, bytes, pj       energy of one access by the size of the array
    [dram]  access_bits, pj              the same outside the chip, for any size

A table of your own is a file in a folder that `tables(folder)` or $SPIKERN_TABLES names.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from spikern._utils.choices import Choices
from spikern._utils.display import table_of_fields
from spikern._utils.errors import DataError
from spikern.engines.codegen.emit import OPERATIONS

FOLDER = Path(__file__).parent / "tables"
CONVENTIONS = Path(__file__).parent / "conventions"
VARIABLE = "SPIKERN_TABLES"
TEXTS = ("title", "source", "node", "precision", "not_modelled", "updates")
SECTIONS = {
    "pj": ("ac",),
    "bits": ("weights", "states"),
    "sram": ("access_bits", "bytes", "pj"),
    "dram": ("access_bits", "pj"),
}
"""The sections of a table and their required keys; only [pj] is required itself."""
UPDATES = {
    "by operation": (),
    "by neuron": ("update_active", "update_inactive", "spike"),
    "by unit": ("update_spiking", "reset"),
}
"""The ways to price a neuron update, and the prices that each requires."""
KINDS = {"ac", "mac"}.union(*(operation.cost for operation in OPERATIONS.values()))


class Sram(NamedTuple):
    """Prices of one access of `access_bits`, by the size of the array in bytes."""

    access_bits: int
    bytes: tuple[int, ...]
    pj: tuple[float, ...]

    def price(self, size: float) -> float | None:
        """pJ of one access to an array of `size` bytes; None above the largest published size.

        Between two entries the price is a power of the size, a straight line in logarithms; the
        published prices double over a fourfold size. Below the smallest size it is constant.

        >>> sram = Sram(64, (8192, 32768), (10.0, 20.0))
        >>> sram.price(1000), sram.price(16384), sram.price(65536)
        (10.0, 14.142135623730951, None)
        """
        points = list(zip(self.bytes, self.pj))
        if size <= self.bytes[0]:
            return self.pj[0]
        for (small, low), (large, high) in pairwise(points):
            if size <= large:
                share = math.log(size / small) / math.log(large / small)
                return float(low * (high / low) ** share)
        return None


class Dram(NamedTuple):
    """The price of one access of `access_bits`."""

    access_bits: int
    pj: float


@table_of_fields
@dataclass(frozen=True)
class EnergyTable:
    """Prices in pJ, their source, and what they leave out."""

    name: str
    title: str
    source: str
    node: str
    precision: str
    not_modelled: str
    updates: str
    pj: Mapping[str, float]
    weight_bits: int | None = None
    state_bits: int | None = None
    sram: Sram | None = None
    dram: Dram | None = None


def tables(folder: str | Path | None = None) -> dict[str, EnergyTable]:
    """The tables of the package and of one more folder, by default that of $SPIKERN_TABLES.

    Raises DataError if the folder is missing or contains a name of a table of the package.

    >>> sorted(tables())
    ['22nm_yan', '45nm_fp16', '45nm_fp32', '45nm_int32', '45nm_int8', 'loihi1']
    """
    by_name = Choices("energy table", read_all(FOLDER))
    folder = folder or os.environ.get(VARIABLE)
    if folder is None or folder == "":
        return by_name
    if not Path(folder).is_dir():
        raise DataError(f"no folder {folder} with energy tables; see {VARIABLE}")
    for name, table in read_all(Path(folder)).items():
        if name in by_name:
            path = Path(folder) / f"{name}.toml"
            raise DataError(f"{path}: a table named {name} comes with spikern; rename it")
        by_name[name] = table
    return by_name


def conventions() -> dict[str, EnergyTable]:
    """The prices by which published ratios were computed, for whoever reproduces these.

    They price a neuron as a unit, whatever it computes, so no estimate of `tables` is made by them.

    >>> [*conventions()]
    ['tclif']
    """
    return Choices("convention", read_all(CONVENTIONS))


def read_all(folder: Path) -> dict[str, EnergyTable]:
    """The tables in a folder by name."""
    return {path.stem: read(path) for path in sorted(folder.glob("*.toml"))}


def read(path: str | Path) -> EnergyTable:
    """Read a table from its file.

    Raises DataError with the line of an entry that is missing, negative or unknown.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"cannot read the energy table {path}: {error}") from error
    check = _Check(path, text, raw)
    check.texts()
    bits = check.section("bits") or {}
    sram, dram = check.section("sram"), check.section("dram")
    return EnergyTable(
        path.stem,
        **{key: raw[key] for key in TEXTS},
        pj=check.prices(),
        weight_bits=bits.get("weights"),
        state_bits=bits.get("states"),
        sram=Sram(sram["access_bits"], tuple(sram["bytes"]), tuple(sram["pj"])) if sram else None,
        dram=Dram(dram["access_bits"], dram["pj"]) if dram else None,
    )


class _Check(NamedTuple):
    """The text of a file and its contents, to name the line of an error."""

    path: Path
    text: str
    raw: dict[str, Any]

    def refuse(self, section: str, key: str, message: str) -> DataError:
        return DataError(f"{self.path}, line {line_of(self.text, section, key)}: {message}")

    def texts(self) -> None:
        for key in TEXTS:
            if not isinstance(self.raw.get(key), str) or not self.raw[key].strip():
                raise self.refuse("", key, f"the table needs {key} = a few words")
        for key in self.raw.keys() - {*TEXTS, *SECTIONS}:
            raise self.refuse("", key, f"unknown entry '{key}'")
        if self.raw["updates"] not in UPDATES:
            raise self.refuse("", "updates", f"updates must be one of {', '.join(UPDATES)}")

    def section(self, name: str) -> dict[str, Any] | None:
        """A section with valid numbers, or None if it is absent and optional."""
        section = self.raw.get(name)
        if section is None and name != "pj":
            return None
        if not isinstance(section, dict):
            raise self.refuse("", name, f"the table needs a section [{name}]")
        for key in SECTIONS[name]:
            if key not in section:
                raise self.refuse(name, key, f"[{name}] lacks '{key}'")
        for key, value in section.items():
            if name != "pj" and key not in SECTIONS[name]:
                raise self.refuse(name, key, f"unknown entry '{key}' in [{name}]")
            several = name == "sram" and key != "access_bits"
            if isinstance(value, list) != several:
                form = "a list" if several else "one number"
                raise self.refuse(name, key, f"{key} must be {form}, got {value!r}")
            numbers = value if several else [value]
            integer = name == "bits" or key in ("access_bits", "bytes")
            if not numbers or not all(_is_price(n, integer) for n in numbers):
                least = "a whole number > 0" if integer else "a number >= 0"
                raise self.refuse(name, key, f"{key} must be {least}, got {value!r}")
        if name == "sram":
            sizes, costs = section["bytes"], section["pj"]
            if len(sizes) != len(costs) or sorted(set(sizes)) != sizes or 0 in costs:
                raise self.refuse(name, "pj", "bytes must rise, with one pj > 0 for each")
        return section

    def prices(self) -> dict[str, float]:
        prices = self.section("pj") or {}
        for key in UPDATES[self.raw["updates"]]:
            if key not in prices:
                message = f"[pj] lacks '{key}', which updates {self.raw['updates']} need"
                raise self.refuse("pj", key, message)
        for key in prices:
            if key not in KINDS and not re.fullmatch(r"update_\w+|spike|reset", key):
                known = ", ".join(sorted(KINDS))
                raise self.refuse("pj", key, f"no operation is called '{key}'; there are {known}")
        return prices


def _is_price(value: Any, integer: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and (
        value > 0 and isinstance(value, int) if integer else value >= 0
    )


def line_of(text: str, section: str, key: str) -> int:
    """The line of an entry of a TOML file; if it is missing, of its section, or the last line.

    >>> line_of("a = 1\\n[pj]\\nac = 2", "pj", "ac"), line_of("a = 1\\n[pj]", "pj", "mac")
    (3, 2)
    """
    here, best = "", len(text.splitlines())
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*(\w+)\s*\]", line):
            here = header[1]
            if here == section or (section == "" and here == key):
                best = number
        elif here == section and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
    return best
