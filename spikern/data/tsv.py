"""The `.tsv` text format of the UCR time series archive: one series a line, tab separated.

    1<TAB>0.5<TAB>0.25<TAB>NaN

The label first, then the values of one feature; NaN after the last value of a shorter series.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikern.data.ts import Series, TimeSeries
from spikern.types import DataError


def read(path: Path) -> TimeSeries:
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
                label, values = read_line(line)
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


def read_line(line: str) -> tuple[float, Series]:
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
