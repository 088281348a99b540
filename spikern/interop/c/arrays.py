"""Weights and constants as arrays of C, and the functions that add their rows to currents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikern.engines.codegen.c import literal

Array = NDArray[Any]
LEVELS = 127
"""Largest magnitude of an int8 weight; -128 is not used."""
MOST_NEURONS = 65_535
"""Neurons, channels and steps of delay are counted in uint16_t."""
COLUMNS = 96
"""Width of a line of numbers."""


class Rows(NamedTuple):
    """Weights as one row per source: dense, or lists of the synapses that are not zero.

    values         (sources, targets), or (synapses,) where the rows are lists
    first          the first source; those before it have no weights
    begin, target  the synapses of source first + j are begin[j] .. begin[j + 1] - 1; None if dense
    """

    values: Array
    first: int
    begin: Array | None = None
    target: Array | None = None

    @property
    def sources(self) -> int:
        """The sources that have a row."""
        return len(self.values) if self.begin is None else len(self.begin) - 1

    @property
    def bytes(self) -> int:
        """The bytes of all arrays."""
        return sum(a.nbytes for a in (self.values, self.begin, self.target) if a is not None)


def rows(matrix: Array) -> Rows:
    """Weights (to, from) as rows per source, dense or as lists, whichever takes fewer bytes.

    >>> rows(np.eye(8, dtype=np.float32)).target.tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    by_source = np.ascontiguousarray(matrix.T)
    used = np.flatnonzero(by_source.any(1))
    first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
    by_source = by_source[first:last]
    source, target = np.nonzero(by_source)
    begin = np.searchsorted(source, np.arange(len(by_source) + 1))
    lists = Rows(
        by_source[source, target], first, begin.astype(np.uint32), target.astype(np.uint16)
    )
    return min(Rows(by_source, first), lists, key=lambda r: r.bytes)


def rounded(matrix: Array) -> tuple[Array, Array]:
    """Weights (to, from) in int8, and the scale of each target:

        w ~ s q,    s = max|row| / 127,    q = round(w / s)

    >>> q, s = rounded(np.float32([[1.0, -0.5], [0.0, 0.0]]))
    >>> q.tolist(), (s * 127).tolist()
    ([[127, -64], [0, 0]], [1.0, 0.0])
    """
    scale = np.abs(matrix).max(1, initial=0.0) / np.float32(LEVELS)
    safe = np.where(scale > 0, scale, np.float32(1.0))
    return np.rint(matrix / safe[:, None]).astype(np.int8), scale


def declaration(name: str, array: Array) -> str:
    """A constant of C with the shape of an array.

    >>> print(declaration("w", np.float32([[1.0, 0.5]])), end="")
    static const float w[1][2] = {
        {1.0f, 0.5f},
    };
    """
    head = f"static const {_kind(array)} {name}"
    if array.ndim == 0:
        return f"{head} = {_text(array)[0]};\n"
    shape = "".join(f"[{size}]" for size in array.shape)
    return f"{head}{shape} = {{\n" + "".join(f"    {line}\n" for line in _lines(array)) + "};\n"


class Member(NamedTuple):
    """One member of the struct of a network's state: a number, or an array of one size or more."""

    kind: str
    name: str
    size: int | None = None
    comment: str = ""

    @property
    def width(self) -> int:
        """Bytes of one element."""
        return 4 if self.kind == "float" else int(re.sub(r"\D", "", self.kind)) // 8

    @property
    def bytes(self) -> int:
        """Bytes of all of it."""
        return self.width * (self.size or 1)

    @property
    def text(self) -> str:
        """Its line."""
        shape = "" if self.size is None else f"[{self.size}]"
        return f"{self.kind} {self.name}{shape};" + (
            f" /* {self.comment} */" if self.comment else ""
        )


class Code(NamedTuple):
    """A network as C.

    state   the members of the struct of its state
    arrays  constants by name
    body    functions; the last are `static void advance(state *s, input in)` and
            `static void answer(const state *s, float *logits)`
    """

    state: list[Member]
    arrays: dict[str, Array]
    body: list[str]

    @property
    def flash(self) -> int:
        """Bytes of the constants, code not counted."""
        return sum(a.nbytes for a in self.arrays.values() if a.ndim)

    @property
    def ram(self) -> int:
        """Bytes of the state."""
        widest = max(m.width for m in self.state)
        return -(-sum(m.bytes for m in self.state) // widest) * widest


def function(head: str, lines: Sequence[str]) -> str:
    """The text of a function."""
    return f"static void {head}\n{{\n" + "".join(f"    {line}\n" for line in lines) + "}\n"


FOUR = 4
"""Rows that are added in one pass."""


def over_input(action: str, channels: int, dense: str | None = None) -> list[str]:
    """Statements that do something for every `channel` and `value` of the input that is not 0.

    `dense` does the same for all of an input that is an array, if it has as many channels as rows
    are added in one pass.
    """
    first = [] if dense is None or channels < FOUR else ["if (in.dense)", f"    {dense}", "else"]
    return [
        *first,
        f"for (int j = 0; j < (in.dense ? {channels} : in.count); j++) {{",
        "    const int channel = in.dense ? j : in.events[j].channel;",
        "    const float value = in.dense ? in.dense[j] : in.events[j].value;",
        "    if (value != 0.0f)",
        f"        {action}",
        "}",
    ]


def _kind(array: Array) -> str:
    return "float" if array.dtype == np.float32 else f"{array.dtype.name}_t"


def _text(array: Array) -> list[str]:
    if array.dtype == np.float32:
        return [literal(float(value)) for value in array.reshape(-1)]
    return [str(value) for value in array.reshape(-1)]


def _lines(array: Array) -> list[str]:
    text = _text(array)
    if array.ndim == 1:
        return _wrapped(f"{word}," for word in text)
    width = array.shape[1]
    lines = []
    for row in range(len(array)):
        words = [f"{word}," for word in text[row * width : (row + 1) * width]]
        words[0] = "{" + words[0]
        words[-1] = words[-1][:-1] + "},"
        lines += _wrapped(words)
    return lines


def _wrapped(words: Iterable[str]) -> list[str]:
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) + 1 > COLUMNS:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


def is_identifier(name: str) -> bool:
    """Whether a name is one of C: letters of ASCII, digits, underscores, and no keyword."""
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None and name not in KEYWORDS


KEYWORDS = {
    *("auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else"),
    *("enum", "extern", "float", "for", "goto", "if", "inline", "int", "long", "register"),
    *("restrict", "return", "short", "signed", "sizeof", "static", "struct", "switch", "typedef"),
    *("union", "unsigned", "void", "volatile", "while"),
}
