"""Sequences as CSV, in one of two forms. An empty label is none.

One sequence per row, of one feature; shorter ones end in empty cells or NaN. The first line may be
a header, whose first cell is then `label`.

    label,t0,t1,t2
    up,0.5,0.25,0.75
    down,0.5,0.25,

One step per row, of any number of features, under a header that begins with `sample,label`; the
rows of a sample are in the order of time.

    sample,label,left,right
    a,up,0.5,1.0
    a,up,0.25,2.0
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from spikern._utils.errors import DataError
from spikern.data.formats import ucr
from spikern.data.formats.ucr import TimeSeries


def read_csv(path: Path) -> TimeSeries:
    """Read a file of either form. Raises DataError with the line number."""
    lines = ucr.read_lines(path)
    try:
        header = header_of(lines)
    except ValueError as error:
        raise DataError(f"{path}, line {lines[0][0]}: {error}") from error
    if header[:1] == ["label"]:
        lines = lines[1:]
    if header[:1] == ["sample"]:
        return of_steps(path, header, lines[1:])
    if lines and not header and _names_columns(cells(lines[0][1]), lines[1:]):
        raise DataError(
            f"{path}, line {lines[0][0]}: expected a label and numbers, parted by commas, or a "
            f"header that begins with label, or with sample,label; got {lines[0][1]:.60}"
        )
    return ucr.of_rows(path, lines, lambda line: ucr.parse_row(cells(line)))


def _names_columns(row: list[str], below: list[tuple[int, str]]) -> bool:
    """Whether a first row has no reading, or numbers its columns under a label of its own.

    >>> below = [(2, "up,0,1,2"), (3, "down,4,4,4")]
    >>> [_names_columns([first, "0", "1", "2"], below) for first in ("class", "up")]
    [True, False]
    """
    counted = [[str(first + k) for k in range(len(row) - 1)] for first in (0, 1)]
    alone = not any(line.partition(",")[0].strip('" ') == row[0].strip() for _, line in below)
    numbered = len(row) > 3 and row[1:] in counted and alone and not _is_number(row[0])
    return numbered or not any(map(_is_number, row[1:]))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def header_of(lines: list[tuple[int, str]]) -> list[str]:
    """Return the names of the columns in lower case; nothing where the first line has none.

    >>> header_of([(1, "Label,t0,t1")]), header_of([(1, "up,0.5,0.25")])
    (['label', 't0', 't1'], [])
    """
    first = [word.strip().lower() for word in cells(lines[0][1])] if lines else []
    return first if first[:1] in (["label"], ["sample"]) else []


def cells(line: str) -> list[str]:
    """Return the cells of a line.

    >>> cells('a,"b, c"')
    ['a', 'b, c']
    """
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise ValueError(f"{error}; a quote may not be closed") from error


def of_steps(path: Path, header: list[str], lines: list[tuple[int, str]]) -> TimeSeries:
    """Return the samples of rows of one step."""
    if header[1:2] != ["label"] or len(header) < 3:
        raise DataError(f"{path}: expected a header sample,label,FEATURE,..., got {header}")
    samples: dict[str, list[list[float]]] = {}
    label_of: dict[str, str] = {}
    for number, line in lines:
        try:
            row = cells(line)
            if len(row) != len(header):
                raise ValueError(f"expected {len(header)} cells, got {len(row)}")
            sample, label, words = row[0].strip(), ucr.class_name(row[1]), row[2:]
            if label_of.setdefault(sample, label) != label:
                raise ValueError(f"sample {sample} has the labels {label_of[sample]} and {label}")
            samples.setdefault(sample, []).append(ucr.parse_values(words))
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}") from error
    if not samples:
        raise DataError(f"{path}: no rows after the header; the file is cut off")
    series = [np.array(rows) for rows in samples.values()]
    return ucr.with_classes(series, [*label_of.values()])
