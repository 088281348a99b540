"""Programs printed as scalar C99: one line per operation, the same float32 as in the kernels.

It needs a compiler that does not contract products and sums (`-ffp-contract=off`); then every
result is that of the numba kernels bit for bit, up to the last place of tanh and the like, which
are those of the C library.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from spikern.engines.codegen import emit, kernels
from spikern.engines.codegen.program import LOGIC, Op, Step, Value, needed, power_as


def literal(value: float) -> str:
    """A float32 constant.

    >>> literal(0.1), literal(2)
    ('0.100000001f', '2.0f')
    """
    with np.errstate(over="ignore"):  # beyond float32 it is infinite
        single = float(np.float32(value))
    if not math.isfinite(single):
        return "NAN" if math.isnan(single) else ("INFINITY" if single > 0 else "-INFINITY")
    text = f"{single:.9g}"
    return f"{text}f" if any(c in text for c in ".e") else f"{text}.0f"


@dataclass(frozen=True)
class Update:
    """A neuron's step as C statements.

    reads   what they read: constants p_*, hoisted constants c_*, the state s_*
    lines   the statements, up to the spike z and the next state
    stores  the text of each field of the next state
    out     the text of the output
    """

    reads: tuple[str, ...]
    lines: tuple[str, ...]
    stores: Mapping[str, str]
    out: str


def kept(step: Step) -> tuple[str, ...]:
    """The fields of the state that a later step depends on; others need not be computed.

    >>> from spikern.engines.codegen.trace import step
    >>> from spikern.neurons import LIF
    >>> kept(step(LIF))
    ('v', 'z')
    """
    fields, before = step.state, None
    while fields != before:
        program = step.program
        wanted = [*(["u"] if step.spikes else []), "out", *(f"n_{f}" for f in fields)]
        read = {a for op in needed(program, wanted) for a in op.args}
        read |= {program.outputs[output] for output in wanted}
        before, fields = fields, tuple(f for f in fields if f"s_{f}" in read)
    return fields


def update(step: Step, text: Printer | None = None) -> Update:
    """The step of a neuron, as a printer prints it: up to u, the spike, the rest.

    What depends on constants alone is read as c_*, in the order of the kernels.

    >>> from spikern.engines.codegen.trace import step
    >>> from spikern.neurons import LI
    >>> for line in update(step(LI)).lines:
    ...     print(line)
    const float x_mul = p_alpha_mem * s_v;
    const float x_mul_1 = c_0 * i;
    const float x_add = x_mul + x_mul_1;
    """
    parts = kernels.Parts(step)
    program = parts.forward
    text = Printer() if text is None else text
    text.names |= parts.names
    fields = kept(step)
    ops = needed(program, ["out", *(f"n_{f}" for f in fields)])
    lines: list[str] = []
    if step.spikes:
        first = needed(program, ["u"])
        names = {op.name for op in first}
        lines += text.statements(first)
        lines.append(text.spike(text.value(program.outputs["u"])))
        ops = [op for op in ops if op.name not in names]
    lines += text.statements(ops)
    stores = {f: text.value(program.outputs[f"n_{f}"]) for f in fields}
    out = text.value(program.outputs["out"])
    words = set(re.findall(r"\w+", " ".join([*lines, *stores.values(), out])))
    sources = [*program.inputs, *parts.hoisted.values()]
    reads = tuple(name for name in sources if name in words and name[:2] in ("p_", "s_", "c_"))
    return Update(reads, tuple(lines), stores, out)


@dataclass
class Printer:
    """Prints operations in float32."""

    names: dict[str, str] = field(default_factory=dict)
    truths: set[str] = field(default_factory=set)
    number: ClassVar[str] = "float"
    one: ClassVar[str] = "1.0f"

    def statements(self, ops: Iterable[Op]) -> list[str]:
        """One declaration per operation that is not hoisted."""
        lines = []
        for op in ops:
            if op.name in self.names:
                continue
            kind = "int" if op.truth else self.number
            lines.append(f"const {kind} {op.name} = {self.expression(op)};")
            if op.truth:
                self.truths.add(op.name)
        return lines

    def expression(self, op: Op) -> str:
        """The right-hand side of one operation."""
        kind = op.kind
        if kind == "pow":
            kind, factors = power_as(op.args[1])
            if kind == "mul":
                return " * ".join([self.value(op.args[0])] * factors)
        wanted = [
            op.kind in LOGIC or (op.kind == "where" and (k == 0 or op.truth))
            for k in range(len(op.args))
        ]
        args = (self.truth(a) if w else self.value(a) for a, w in zip(op.args, wanted))
        return emit.form_of(kind, "c").format(*args)

    def spike(self, u: str) -> str:
        """The statement that a neuron fires above 0."""
        return f"const float z = {u} > 0.0f ? 1.0f : 0.0f;"

    def literal(self, value: float) -> str:
        """A number."""
        return literal(value)

    def value(self, value: Value) -> str:
        """A number, or a result as a number."""
        if not isinstance(value, str):
            return self.literal(value) if not value < 0 else f"({self.literal(value)})"
        name = self.names.get(value, value)
        zero = self.literal(0)
        return f"({name} ? {self.one} : {zero})" if value in self.truths else name

    def truth(self, value: Value) -> str:
        """A value as true or false."""
        if not isinstance(value, str):
            return str(int(bool(value)))
        return value if value in self.truths else f"({self.value(value)} != {self.literal(0)})"
