"""The text formats of the UCR/UEA time series archive: `.ts` and `.tsv`.

`.ts` has a header and one series per line: its dimensions separated by ':', the values of one
dimension by ',', the label last.

    # comment, and so is a line that begins with %
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
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from spikern._utils import foreign
from spikern._utils.errors import DataError
from spikern.data.dataset import UNLABELLED

Series = npt.NDArray[Any]
"""(T, F), in double precision until it is standardised, as far as the file has it."""
Label = TypeVar("Label")
LARGEST = float(np.finfo(np.float32).max)


class TimeSeries(NamedTuple):
    """The content of a file: class names; per series an array (T, F) and a class index.

    The index is an array (T,) where every step has one, and UNLABELLED where there is none.
    """

    class_names: tuple[str, ...]
    series: list[Series]
    labels: list[Any]


def read_ts(path: Path) -> TimeSeries:
    """Read a classification file with complete series. Raises DataError with the line number.

    Without `@dimensions` there are as many as in the first series.
    """
    lines = [(n, line) for n, line in read_lines(path) if line.lstrip()[0] not in "#%"]
    header: dict[str, list[str]] = {}
    for start, line in lines:
        key, *words = line.split()
        if not key.startswith("@"):
            raise DataError(f"{path}, line {start}: expected '@...' before '@data', got '{key}'")
        if key.lower() == "@data":
            break
        header[key.lower()] = words
        check_header(f"{path}, line {start}", key, words)
    else:
        raise DataError(f"{path}: no '@data' line; the file is cut off or of another format")
    _, *names = header.get("@classlabel", [""])
    if not names:
        raise DataError(f"{path}: expected '@classLabel true <names>' before line {start}")
    content = [(n, line) for n, line in lines if n > start]
    count = header.get("@dimensions", header.get("@dimension"))
    first = content[0][1] if content else ""
    dimensions = int(count[0]) if count else max(1, first.count(":"))
    series, labels = parse_lines(path, content, lambda line: parse_ts(line, dimensions, names))
    if not series:
        raise DataError(f"{path}: no series after '@data'; the file is cut off")
    return TimeSeries(tuple(names), series, labels)


def check_header(where: str, key: str, words: list[str]) -> None:
    """Raise DataError on a header line of a file that is not read; others are not needed."""
    name, value = key.lower(), " ".join(words)
    if name == "@targetlabel" and value.lower() != "false":
        raise DataError(f"{where}: '{key}' is of regression; give a file with '@classLabel true'")
    if name == "@classlabel" and (value.lower().split()[:1] != ["true"] or len(words) < 2):
        raise DataError(f"{where}: expected '{key} true <names>', got '{key} {value}'")
    if name == "@classlabel" and len(set(words[1:])) < len(words) - 1:
        raise DataError(f"{where}: two classes of one name in '{key} {value}'")
    if name == "@timestamps" and value.lower() != "false":
        raise DataError(f"{where}: expected '{key} false', got '{value}'; write the values alone")
    if name in ("@dimensions", "@dimension") and not (value.isdecimal() and int(value) > 0):
        raise DataError(f"{where}: expected '{key} <number>', got '{value}'")


def parse_ts(line: str, dimensions: int, names: Sequence[str]) -> tuple[Series, int]:
    """Return the series (T, F) and the class index of a line. Raises ValueError.

    >>> parse_ts("1,2,3:4,5,6:b", 2, ("a", "b"))[1]
    1
    """
    *fields, label = (field.strip() for field in line.split(":"))
    if len(fields) != dimensions:
        raise ValueError(f"expected {dimensions} dimensions and a label, got {len(fields)}")
    if label not in names:
        raise ValueError(f"expected a label of {', '.join(names)}, got '{label}'")
    rows = [parse_values(field.split(",")) for field in fields]
    lengths = sorted({len(row) for row in rows})
    if len(lengths) != 1:
        raise ValueError(f"expected dimensions of one length, got {lengths}")
    return np.array(rows).T, names.index(label)


def parse_values(words: Sequence[str]) -> list[float]:
    """Return numbers. Raises ValueError if one is not finite, or too large for single precision."""
    if "?" in [word.strip() for word in words]:
        raise ValueError("a missing value '?'; fill it in, or leave the series out")
    values = [number_of(word) for word in words]
    for value in values:
        if not abs(value) <= LARGEST:
            raise ValueError(f"expected finite values up to {LARGEST:.2g}, got {value}")
    return values


def read_tsv(path: Path) -> TimeSeries:
    """Read a file; classes by number, then by name. Raises DataError with the line number."""
    return of_rows(path, read_lines(path), lambda line: parse_row(line.split("\t")))


def of_rows(
    path: Path, lines: Sequence[tuple[int, str]], parse: Callable[[str], tuple[Series, str]]
) -> TimeSeries:
    """Return the series of numbered lines, each parsed to a series and the name of its class."""
    series, names = parse_lines(path, lines, parse)
    if not series:
        raise DataError(f"{path}: no series; the file is empty or cut off")
    return with_classes(series, names)


def with_classes(series: list[Series], names: Sequence[str]) -> TimeSeries:
    """Return series with the names of their classes, "" for none, in order of number and name.

    >>> with_classes([], ["10", "", "9"])[::2]
    (('9', '10'), [1, -100, 0])
    """
    classes = sorted({*names} - {""}, key=by_number)
    place = {"": UNLABELLED} | {name: k for k, name in enumerate(classes)}
    return TimeSeries(tuple(classes), series, [place[name] for name in names])


def class_name(label: str) -> str:
    """Return the name of a class from its label; a number has one name, however it is written.

    >>> class_name("01.0"), class_name("020230101"), class_name(" left"), class_name("1_12")
    ('1', '20230101', 'left', '1_12')
    """
    label = label.strip()
    try:
        number = number_of(label)
    except ValueError:
        return label
    if not np.isfinite(number):
        raise ValueError(f"expected a label, got '{label}'")
    if not number.is_integer():
        return repr(number)
    return str(int(label)) if label.lstrip("+-").isdecimal() else f"{number + 0.0:.0f}"


def by_number(name: str) -> tuple[float, str]:
    """Return the key that sorts class names by number; those that are none follow, by name."""
    try:
        number = number_of(name)
    except ValueError:
        return np.inf, name
    return (number if np.isfinite(number) else np.inf), name


def number_of(text: str) -> float:
    """Return the number that a text is. Raises ValueError for one with underscores, as in Python.

    >>> number_of(" 1e3")
    1000.0
    """
    if "_" in text:
        raise ValueError(f"could not convert string to float: '{text}'")
    return float(text)


def parse_row(words: Sequence[str]) -> tuple[Series, str]:
    """Return the series (T, 1) and the class name of the cells of a line. Raises ValueError.

    >>> parse_row(["2", "0.5", "1.5", "NaN"])[0].tolist()
    [[0.5], [1.5]]
    """
    label, *words = words
    while words and words[-1].strip().lower() in ("nan", ""):
        words.pop()
    if not words:
        raise ValueError("expected a label and at least one finite value, each in a cell")
    return np.array(parse_values(words))[:, None], class_name(label)


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Return the numbered lines of a text file that are not blank."""
    with foreign.parsed(path, "text in UTF-8"):
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    return [(number, line.rstrip()) for number, line in enumerate(lines, 1) if line.strip()]


def parse_lines(
    path: Path, lines: Sequence[tuple[int, str]], parse: Callable[[str], tuple[Series, Label]]
) -> tuple[list[Series], list[Label]]:
    """Parse numbered lines. Raises DataError with the line number."""
    series, labels = [], []
    for number, line in lines:
        try:
            values, label = parse(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}") from error
        series.append(values)
        labels.append(label)
    return series, labels
