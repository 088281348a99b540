"""Energy tables: what one operation costs, from TOML files, every table with its source.

    title, source, node, precision, not_modelled     words; not_modelled says what is left out
    updates = "by operation"    each mul, add, compare, exp, ... of a neuron update has a price
              "by neuron"       update_active (it fired), update_inactive, spike
              "by unit"         one price a unit: update_<model> (update_LSTM), else
                                update_spiking for a neuron that a network is made of; reset a spike
                                (the last two price no arithmetic outside of units)
    [bits]  weights, states     widths that memory traffic is counted in
    [pj]    prices in pJ        ac is required; what is missing has no estimate, never zero
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

from spikern._utils.errors import DataError
from spikern.engines.codegen.operations import COUNTED

FOLDER = Path(__file__).parent / "tables"
VARIABLE = "SPIKERN_TABLES"
WORDS = ("title", "source", "node", "precision", "not_modelled", "updates")
SECTIONS = {
    "pj": ("ac",),
    "bits": ("weights", "states"),
    "sram": ("access_bits", "bytes", "pj"),
    "dram": ("access_bits", "pj"),
}
"""The sections of a table and what each must hold; [pj] must be there."""
UPDATES = {
    "by operation": (),
    "by neuron": ("update_active", "update_inactive", "spike"),
    "by unit": ("update_spiking", "reset"),
}
"""The ways to price a neuron update, and the prices that each needs."""
KINDS = {"ac", "mac"}.union(*COUNTED.values())


class Sram(NamedTuple):
    """Prices of one access of `access_bits`, by the size of the array in bytes."""

    access_bits: int
    bytes: tuple[int, ...]
    pj: tuple[float, ...]

    def price(self, size: float) -> float | None:
        """pJ of one access to an array of `size` bytes; None above the largest that is published.

        Between two entries the price is a power of the size, a straight line in logarithms: the
        published ones double over a fourfold size. Below the smallest it is that of the smallest.

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


@dataclass(frozen=True)
class EnergyTable:
    """Prices in pJ, with their source and what they leave out."""

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

    Raises DataError if the folder is missing, or holds a name that is taken.

    >>> sorted(tables())
    ['22nm_yan', '45nm_fp16', '45nm_fp32', '45nm_int32', '45nm_int8', 'loihi1', 'tclif']
    """
    found = {path.stem: read(path) for path in sorted(FOLDER.glob("*.toml"))}
    folder = folder or os.environ.get(VARIABLE)
    if folder is None or folder == "":
        return found
    if not Path(folder).is_dir():
        raise DataError(f"no folder {folder} with energy tables; see {VARIABLE}")
    for path in sorted(Path(folder).glob("*.toml")):
        if path.stem in found:
            raise DataError(f"{path}: a table named {path.stem} comes with spikern; rename it")
        found[path.stem] = read(path)
    return found


def read(path: str | Path) -> EnergyTable:
    """A table from its file; what is missing, negative or unknown is refused with its line."""
    path = Path(path)
    try:
        text = path.read_text()
        raw = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"cannot read the energy table {path}: {error}") from error
    check = _Check(path, text, raw)
    check.words()
    bits = check.section("bits")
    sram, dram = check.section("sram"), check.section("dram")
    return EnergyTable(
        path.stem,
        **{word: raw[word] for word in WORDS},
        pj=check.prices(),
        weight_bits=None if bits is None else bits["weights"],
        state_bits=None if bits is None else bits["states"],
        sram=None
        if sram is None
        else Sram(sram["access_bits"], tuple(sram["bytes"]), tuple(sram["pj"])),
        dram=None if dram is None else Dram(dram["access_bits"], dram["pj"]),
    )


class _Check(NamedTuple):
    """A file's text beside what was read from it, to name the line of what is wrong."""

    path: Path
    text: str
    raw: dict[str, Any]

    def refuse(self, section: str, key: str, message: str) -> DataError:
        return DataError(f"{self.path}, line {line_of(self.text, section, key)}: {message}")

    def words(self) -> None:
        for word in WORDS:
            if not isinstance(self.raw.get(word), str) or not self.raw[word].strip():
                raise self.refuse("", word, f"the table needs {word} = a few words")
        for key in self.raw.keys() - {*WORDS, *SECTIONS}:
            raise self.refuse("", key, f"unknown entry '{key}'")
        if self.raw["updates"] not in UPDATES:
            raise self.refuse("", "updates", f"updates must be one of {', '.join(UPDATES)}")

    def section(self, name: str) -> dict[str, Any] | None:
        """A section that may be absent, every number in it checked."""
        found = self.raw.get(name)
        if found is None and name != "pj":
            return None
        if not isinstance(found, dict):
            raise self.refuse("", name, f"the table needs a section [{name}]")
        for key in SECTIONS[name]:
            if key not in found:
                raise self.refuse(name, key, f"[{name}] lacks '{key}'")
        for key, value in found.items():
            numbers = value if isinstance(value, list) else [value]
            whole = name == "bits" or key in ("access_bits", "bytes")
            if not numbers or not all(_is_price(n, whole) for n in numbers):
                least = "a whole number > 0" if whole else "a number >= 0"
                raise self.refuse(name, key, f"{key} must be {least}, got {value!r}")
        if name == "sram":
            sizes, costs = found["bytes"], found["pj"]
            if not (isinstance(sizes, list) and isinstance(costs, list)):
                raise self.refuse(name, "pj", "bytes and pj must be lists")
            if len(sizes) != len(costs) or sorted(set(sizes)) != sizes or 0 in costs:
                message = "bytes must rise, with one pj > 0 for each"
                raise self.refuse(name, "pj", message)
        return found

    def prices(self) -> dict[str, float]:
        found = self.section("pj") or {}
        for key in UPDATES[self.raw["updates"]]:
            if key not in found:
                message = f"[pj] lacks '{key}', which updates {self.raw['updates']} need"
                raise self.refuse("pj", key, message)
        for key in found:
            if key not in KINDS and not re.fullmatch(r"update_\w+|spike|reset", key):
                known = ", ".join(sorted(KINDS))
                raise self.refuse("pj", key, f"no operation is called '{key}'; there are {known}")
        return found


def _is_price(value: Any, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and (value > 0 and isinstance(value, int) if whole else value >= 0)


def line_of(text: str, section: str, key: str) -> int:
    """The line of an entry of a TOML file; if it is missing that of its section, or the last.

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
