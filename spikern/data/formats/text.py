"""The `.ts` text format of the UCR/UEA time series archive.

    # comment
    @dimensions 2
    @classLabel true a b
    @data
    1.0,2.0,3.0:0.1,0.2,0.3:a

One line a series: its dimensions separated by ':', the values of one by ',', the label last.

The `.tsv` text format of the UCR time series archive: one series a line, tab separated.

    1<TAB>0.5<TAB>0.25<TAB>NaN

The label first, then the values of one feature; NaN after the last value of a shorter series.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spikern._utils.errors import DataError

Series = npt.NDArray[np.float32]


class TimeSeries(NamedTuple):
    """The content of a file: class names, one (T, F) array a series, one class index a series."""

    class_names: tuple[str, ...]
    series: list[Series]
    labels: list[int]


def read_ts(path: Path) -> TimeSeries:
    """Read a classification file with complete series. Raises DataError with the line number."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected text, got bytes that are none: {error}") from error
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; give the path of a .ts file") from error
    header: dict[str, list[str]] = {}
    start = 0
    for start, line in enumerate(lines, 1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if not line.startswith("@"):
            raise DataError(
                f"{path}, line {start}: expected '@...' before '@data', got '{words[0]}'"
            )
        if words[0].lower() == "@data":
            break
        header[words[0].lower()] = words[1:]
    else:
        raise DataError(f"{path}: no '@data' line; the file is cut off or of another format")
    names, dimensions = read_header(path, header)
    series, labels = [], []
    for number, line in enumerate(lines[start:], start + 1):
        if line.strip() and not line.startswith("#"):
            try:
                values, label = read_ts_line(line, dimensions, names)
            except ValueError as error:
                raise DataError(f"{path}, line {number}: {error}") from error
            series.append(values)
            labels.append(label)
    if not series:
        raise DataError(f"{path}: no series after '@data'; the file is cut off")
    return TimeSeries(names, series, labels)


def read_header(path: Path, header: dict[str, list[str]]) -> tuple[tuple[str, ...], int]:
    """Class names and the number of dimensions."""
    flag, *names = header.get("@classlabel", ["false"])
    if flag.lower() != "true" or not names:
        raise DataError(f"{path}: expected '@classLabel true <names>'; only classification is read")
    for key in ("@timestamps", "@missing"):
        if " ".join(header.get(key, ["false"])).lower() != "false":
            raise DataError(f"{path}: expected '{key} false', got '{' '.join(header[key])}'")
    count = header.get("@dimensions", header.get("@dimension", ["1"]))
    if len(count) != 1 or not count[0].isdecimal() or int(count[0]) < 1:
        raise DataError(f"{path}: expected '@dimensions <number>', got '{' '.join(count)}'")
    return tuple(names), int(count[0])


def read_ts_line(line: str, dimensions: int, names: tuple[str, ...]) -> tuple[Series, int]:
    """One series (T, F) and its class index. Raises ValueError.

    >>> read_line("1,2,3:4,5,6:b", 2, ("a", "b"))[1]
    1
    """
    *fields, label = line.strip().split(":")
    if len(fields) != dimensions:
        raise ValueError(f"expected {dimensions} dimensions and a label, got {len(fields)}")
    if label not in names:
        raise ValueError(f"expected a label of {', '.join(names)}, got '{label}'")
    rows = [[float(value) for value in field.split(",")] for field in fields]
    lengths = sorted({len(row) for row in rows})
    if len(lengths) != 1:
        raise ValueError(f"expected dimensions of one length, got {lengths}")
    values = np.array(rows, dtype=np.float32).T
    if not np.isfinite(values).all():
        raise ValueError("expected finite values, got NaN or infinity")
    return values, names.index(label)


def read_tsv(path: Path) -> TimeSeries:
    """Read a file; classes in the order of their numbers. Raises DataError with the line number."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected text, got bytes that are none: {error}") from error
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; give the path of a .tsv file") from error
    series, labels = [], []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                label, values = read_tsv_line(line)
            except ValueError as error:
                raise DataError(f"{path}, line {number}: {error}") from error
            series.append(values)
            labels.append(label)
    if not series:
        raise DataError(f"{path}: no series; the file is empty or cut off")
    classes = sorted(set(labels))
    return TimeSeries(
        tuple(f"{label:g}" for label in classes), series, [classes.index(label) for label in labels]
    )


def read_tsv_line(line: str) -> tuple[float, Series]:
    """The label and the series (T, 1). Raises ValueError.

    >>> read_line("2\\t0.5\\t1.5\\tNaN")[1].tolist()
    [[0.5], [1.5]]
    """
    label, *values = (float(word) for word in line.strip().split("\t"))
    known = np.isfinite(values)
    count = int(known.sum())
    if count == 0 or not np.isfinite(label):
        raise ValueError("expected a label and at least one finite value, separated by tabs")
    if not known[:count].all():
        raise ValueError("expected NaN after the last value alone, got it or infinity before")
    return label, np.array(values[:count], dtype=np.float32)[:, None]
