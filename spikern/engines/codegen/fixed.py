"""Programs printed as C in whole numbers: an int32 with 20 bits of fraction for every number.

Beside each result goes the range that it can have, worked out from the ranges of what it is made
of. A sum or product that could leave 32 bits is computed in 64 and held to the ends of the range
of an int32; all others are plain. Products are rounded to the nearest, halves upwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import product
from typing import ClassVar, NamedTuple

from spikern._utils.errors import UnsupportedError
from spikern.engines.codegen import c
from spikern.engines.codegen.program import COMPARISONS, LOGIC, Op, Step, Value, power_as

FRACTION = 20
"""Bits of the fraction of a number."""
ONE = 1 << FRACTION
LARGEST = 2**31 - 1


class Range(NamedTuple):
    """The least and the greatest value that a number can have, in steps of 2^-20."""

    low: int
    high: int

    def within(self, other: Range) -> bool:
        """Whether the other range has all of it."""
        return self.low >= other.low and self.high <= other.high


WORD = Range(-LARGEST, LARGEST)
"""What an int32 has with either sign."""
STATE = Range(-512 * ONE, 512 * ONE - 1)
"""What the fields of a state are held to."""


def _products(a: Range, b: Range) -> Range:
    ends = [(x * y + ONE // 2) >> FRACTION for x, y in product(a, b)]
    return Range(min(ends), max(ends))


FORMS: dict[str, tuple[str, str, Callable[..., Range]]] = {
    "add": ("{0} + {1}", "(int64_t){0} + {1}", lambda a, b: Range(a.low + b.low, a.high + b.high)),
    "sub": ("{0} - {1}", "(int64_t){0} - {1}", lambda a, b: Range(a.low - b.high, a.high - b.low)),
    "mul": (
        "multiplied({0}, {1})",
        f"((int64_t){{0}} * {{1}} + {ONE // 2}) >> {FRACTION}",
        _products,
    ),
    "neg": ("-{0}", "", lambda a: Range(-a.high, -a.low)),
    "abs": ("{0} < 0 ? -{0} : {0}", "", lambda a: Range(0, max(-a.low, a.high, 0))),
    "maximum": ("{0} < {1} ? {1} : {0}", "", lambda a, b: Range(*map(max, a, b))),
    "minimum": ("{0} > {1} ? {1} : {0}", "", lambda a, b: Range(*map(min, a, b))),
    "sign": (f"(({{0}} > 0) - ({{0}} < 0)) * {ONE}", "", lambda a: Range(-ONE, ONE)),
}
"""The text of an operation in 32 bits, that in 64 where it can leave them, and its range."""


@dataclass
class FixedPrinter(c.Printer):
    """Prints operations in fixed point; `ranges` are those of what they read, by name.

    The spikes s_z and z of a neuron that fires are truth values.
    """

    ranges: dict[str, Range] = field(default_factory=dict)
    number: ClassVar[str] = "int32_t"
    one: ClassVar[str] = str(ONE)

    def spike(self, u: str) -> str:
        """The statement that a neuron fires above 0."""
        return f"const int z = {u} > 0;"

    def literal(self, value: float) -> str:
        """A number; raises UnsupportedError if it is too large."""
        if not abs(value) * ONE <= LARGEST:
            raise UnsupportedError(f"{value:g} is too large for the numbers 'fixed'; export int8")
        return str(round(value * ONE))

    def expression(self, op: Op) -> str:
        """The right-hand side of one operation; keeps its range."""
        if op.truth or op.kind in COMPARISONS | LOGIC:
            return super().expression(op)
        if op.kind == "where":
            ranges = [self.bounds(a) for a in op.args[1:]]
            self.ranges[op.name] = Range(min(r.low for r in ranges), max(r.high for r in ranges))
            return super().expression(op)
        if op.kind == "mul" and (spike := self._gate(op)):
            return spike
        if op.kind == "pow":
            return self._whole_power(op)
        if op.kind not in FORMS:
            raise UnsupportedError(
                f"the operation '{op.kind}' cannot be written with numbers 'fixed'; export int8"
            )
        texts = [self.value(a) for a in op.args]
        text, self.ranges[op.name] = _made(op.kind, texts, [self.bounds(a) for a in op.args])
        return text

    def bounds(self, value: Value) -> Range:
        """What a value can be."""
        if not isinstance(value, str):
            return Range(*[int(self.literal(value))] * 2)
        name = self.names.get(value, value)
        return Range(0, ONE) if name in self.truths else self.ranges[name]

    def _gate(self, op: Op) -> str | None:
        """A product with a truth value: the other factor, or nothing."""
        for gate, other in (op.args, op.args[::-1]):
            if isinstance(gate, str) and self.names.get(gate, gate) in self.truths:
                low, high = self.bounds(other)
                self.ranges[op.name] = Range(min(low, 0), max(high, 0))
                return f"{self.names.get(gate, gate)} ? {self.value(other)} : 0"
        return None

    def _whole_power(self, op: Op) -> str:
        base, (kind, factors) = op.args[0], power_as(op.args[1])
        if kind != "mul":
            raise UnsupportedError("a power that is not whole cannot be written with 'fixed'")
        text, found = self.value(base), self.bounds(base)
        for _ in range(factors - 1):
            text, found = _made("mul", [text, self.value(base)], [found, self.bounds(base)])
        self.ranges[op.name] = found
        return text


def _made(kind: str, texts: list[str], ranges: list[Range]) -> tuple[str, Range]:
    """The text of an operation, held to 32 bits where it can leave them, and its range."""
    plain, wide, rule = FORMS[kind]
    found = rule(*ranges)
    if found.within(WORD):
        return plain.format(*texts), found
    return f"held({wide.format(*texts)})", cut(found)


def cut(found: Range) -> Range:
    """What is left of a range in an int32."""
    return Range(max(found.low, WORD.low), min(found.high, WORD.high))


def update(step: Step, known: dict[str, Range]) -> c.Update:
    """The step of a neuron in fixed point, given the ranges of its constants and its current.

    A field is held to STATE, or needs not be held where the step itself keeps it within a power of
    two, whatever the other fields are.
    """
    fields = [f for f in c.kept(step) if not (f == "z" and step.spikes)]
    truths = {"z", "s_z"} if step.spikes else set[str]()
    ranges = known | {f"s_{f}": STATE for f in fields}

    def after(ranges: dict[str, Range]) -> tuple[c.Update, dict[str, Range]]:
        printer = FixedPrinter(ranges=dict(ranges), truths=set(truths))
        printed = c.update(step, printer)
        return printed, {f: printer.bounds(step.program.outputs[f"n_{f}"]) for f in fields}

    for f in fields:
        for bits in range(FRACTION, FRACTION + 10):
            tried = Range(-(1 << bits), (1 << bits) - 1)
            if after(ranges | {f"s_{f}": tried})[1][f].within(tried):
                ranges[f"s_{f}"] = tried
                break
    printed, found = after(ranges)
    held = {
        f: printed.stores[f]
        if found[f].within(ranges[f"s_{f}"])
        else f"limited({printed.stores[f]})"
        for f in fields
    }
    return replace(printed, stores={**printed.stores, **held})
