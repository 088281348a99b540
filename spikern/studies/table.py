"""All results of a study in one table: `jobs` in OUT/results.sqlite, one row per job.

    pandas.read_sql("select * from jobs", sqlite3.connect("results.sqlite"))
    ATTACH 'results.sqlite' (TYPE sqlite);  SELECT * FROM results.jobs;        in DuckDB

A field within a field is a column with both names: `energy_pj` of `45nm_fp32` is
`energy_pj_45nm_fp32`. Lists are JSON text.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from spikern._utils import atomic
from spikern._utils.errors import DataError, InputError
from spikern.studies.jobs import read_result

Row = dict[str, Any]


def flat(found: Mapping[str, Any]) -> Row:
    """One row: key, then config, then result; InputError if two of their columns share a name.

    >>> flat({"key": "ab", "config": {"seed": 0}, "result": {"ops": {"ac": 9}, "rates": [0.1]}})
    {'key': 'ab', 'seed': 0, 'ops_ac': 9, 'rates': '[0.1]'}
    """
    row: Row = {"key": found["key"]}
    for part in ("config", "result"):
        for column, value in _columns(found[part], ""):
            # SQLite takes two names that differ in case alone for one.
            if column.lower() in (name.lower() for name in row):
                raise InputError(
                    f"a job and its result have two columns '{column}'; rename one of them"
                )
            row[column] = value
    return row


def _columns(values: Mapping[str, Any], before: str) -> list[tuple[str, Any]]:
    columns: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            columns += _columns(value, f"{before}{name}_")
        elif isinstance(value, list | tuple):
            columns.append((before + name, json.dumps(value)))
        else:
            columns.append((before + name, value))
    return columns


def rows(out: str | Path) -> list[Row]:
    """Every finished job of a study's folder as a row, by key."""
    return [flat(read_result(path)) for path in sorted((Path(out) / "jobs").glob("*.json"))]


def write(out: Path) -> Path:
    """Write the table from the jobs' files, atomically."""
    found = rows(out)
    names = list(dict.fromkeys(name for row in found for name in row)) or ["key"]
    spellings: dict[str, str] = {}
    for name in names:  # SQLite takes two names that differ in case alone for one
        if (other := spellings.setdefault(name.lower(), name)) != name:
            raise InputError(
                f"the jobs have columns '{other}' and '{name}'; spell them alike, and run again"
            )
    with closing(sqlite3.connect(":memory:")) as database:
        quoted = ['"' + name.replace('"', '""') + '"' for name in names]
        database.execute(f"create table jobs ({', '.join(quoted)})")
        marks = ", ".join("?" for _ in names)
        values = [[row.get(name) for name in names] for row in found]
        database.executemany(f"insert into jobs values ({marks})", values)
        database.commit()
        atomic.write(out / "results.sqlite", database.serialize())
    return out / "results.sqlite"


def read(path: Path) -> list[Row]:
    """The rows of a table that `write` made."""
    if not path.exists():
        raise DataError(f"there is no {path}; run the study first")
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute("select * from jobs")]


def gathered(
    found: Sequence[Row], by: Sequence[str], value: str, over: str = "seed"
) -> dict[tuple[Any, ...], list[Any]]:
    """The values of every group of rows, in the order of `over`, so that groups can be paired.

    Raises InputError where the groups do not have the same of it, as after jobs that failed.

    >>> found = [{"model": "LIF", "seed": 1, "accuracy": 0.8},
    ...          {"model": "LIF", "seed": 0, "accuracy": 0.9}]
    >>> gathered(found, ["model"], "accuracy")
    {('LIF',): [0.9, 0.8]}
    """
    groups: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in sorted(found, key=lambda row: row[over]):
        groups[tuple(row[name] for name in by)].append(row)
    places = {group: [row[over] for row in members] for group, members in groups.items()}
    for group, own in places.items():
        first = next(iter(places))
        if own != places[first]:
            raise InputError(
                f"groups of the same {over} can be paired; {first} has {places[first]} and {group} "
                f"has {own}; finish their jobs or leave rows out"
            )
    return {group: [row[value] for row in members] for group, members in groups.items()}
