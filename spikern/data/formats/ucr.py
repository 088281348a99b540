"""The text formats of the UCR/UEA time series archive: `.ts` and `.tsv`.

`.ts` has a header and one series per line: its dimensions separated by ':', the values of one
dimension by ',', the label last.

    # comment
    @dimensions 2
    @classLabel true a b
    @data
    1.0,2.0,3.0:0.1,0.2,0.3:a

`.tsv` has one series of one feature per line, separated by tabs: the label, the values, and NaN
after the last value of a shorter series.

    1<TAB>0.5<TAB>0.25<TAB>NaN
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from spikern._utils.errors import DataError

Series = npt.NDArray[np.float64]
"""(T, F), in double precision until it is standardised."""
Label = TypeVar("Label")


class TimeSeries(NamedTuple):
    """The content of a file: class names; per series an array (T, F) and a class index."""

    class_names: tuple[str, ...]
    series: list[Series]
    labels: list[int]


def read_ts(path: Path) -> TimeSeries:
    """Read a classification file with complete series. Raises DataError with the line number."""
    lines = read_lines(path)
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
    names, dimensions = parse_ts_header(path, header)
    content = [(n, line) for n, line in enumerate(lines, 1) if n > start and line[:1] != "#"]
    series, labels = parse_lines(path, content, lambda line: parse_ts(line, dimensions, names))
    if not series:
        raise DataError(f"{path}: no series after '@data'; the file is cut off")
    return TimeSeries(names, series, labels)


def parse_ts_header(path: Path, header: dict[str, list[str]]) -> tuple[tuple[str, ...], int]:
    """Return the class names and the number of dimensions."""
    flag, *names = header.get("@classlabel", ["false"])
    if flag.lower() != "true" or not names:
        raise DataError(f"{path}: expected '@classLabel true <names>'; only classification is read")
    if len(set(names)) < len(names):
        raise DataError(f"{path}: two classes of one name in '@classLabel true {' '.join(names)}'")
    for key in ("@timestamps", "@missing"):
        if " ".join(header.get(key, ["false"])).lower() != "false":
            raise DataError(f"{path}: expected '{key} false', got '{' '.join(header[key])}'")
    count = header.get("@dimensions", header.get("@dimension", ["1"]))
    if len(count) != 1 or not count[0].isdecimal() or int(count[0]) < 1:
        raise DataError(f"{path}: expected '@dimensions <number>', got '{' '.join(count)}'")
    return tuple(names), int(count[0])


def parse_ts(line: str, dimensions: int, names: tuple[str, ...]) -> tuple[Series, int]:
    """Return the series (T, F) and the class index of a line. Raises ValueError.

    >>> parse_ts("1,2,3:4,5,6:b", 2, ("a", "b"))[1]
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
    values = np.array(rows).T
    if not np.isfinite(values).all():
        raise ValueError("expected finite values, got NaN or infinity")
    return values, names.index(label)


def read_tsv(path: Path) -> TimeSeries:
    """Read a file; classes by number, then by name. Raises DataError with the line number."""
    series, labels = parse_lines(path, list(enumerate(read_lines(path), 1)), parse_tsv)
    if not series:
        raise DataError(f"{path}: no series; the file is empty or cut off")
    classes = sorted(set(labels), key=by_number)
    return TimeSeries(tuple(classes), series, [classes.index(label) for label in labels])


def class_name(label: str) -> str:
    """Return the name of a class from its label; a number has one name, however it is written.

    >>> class_name("1.0"), class_name("20230101"), class_name("left")
    ('1', '20230101', 'left')
    """
    try:
        number = float(label)
    except ValueError:
        return label
    if not np.isfinite(number):
        raise ValueError(f"expected a label, got '{label}'")
    if not number.is_integer():
        return repr(number)
    return label.lstrip("+") if label.lstrip("+-").isdecimal() else f"{number:.0f}"


def by_number(name: str) -> tuple[float, str]:
    """Return the key that sorts class names by number; those that are none follow, by name."""
    try:
        return float(name), name
    except ValueError:
        return np.inf, name


def parse_tsv(line: str) -> tuple[Series, str]:
    """Return the series (T, 1) and the class name of a line. Raises ValueError.

    >>> parse_tsv("2\\t0.5\\t1.5\\tNaN")[0].tolist()
    [[0.5], [1.5]]
    """
    label, *words = line.strip().split("\t")
    values = [float(word) for word in words]
    finite = np.isfinite(values)
    count = int(finite.sum())
    if count == 0 or not label:
        raise ValueError("expected a label and at least one finite value, separated by tabs")
    if not finite[:count].all():
        raise ValueError("expected NaN after the last value alone, got it or infinity before")
    return np.array(values[:count])[:, None], class_name(label)


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file. Raises DataError if it is missing or not text."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected text in UTF-8: {error}") from error
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; give the path of a {path.suffix} file") from error


def parse_lines(
    path: Path, lines: Sequence[tuple[int, str]], parse: Callable[[str], tuple[Series, Label]]
) -> tuple[list[Series], list[Label]]:
    """Parse all numbered lines that are not blank. Raises DataError with the line number."""
    series, labels = [], []
    for number, line in lines:
        if line.strip():
            try:
                values, label = parse(line)
            except ValueError as error:
                raise DataError(f"{path}, line {number}: {error}") from error
            series.append(values)
            labels.append(label)
    return series, labels
