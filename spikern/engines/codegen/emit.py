"""Programs printed as scalar Python for numba: one line per operation, float32 throughout.

Every product and sum is a statement of its own rounding, in the author's order, so a kernel's
spikes are those of the reference engine bit for bit. exp, sqrt and the like are the exception:
torch's vectorised ones may differ in the last place (trace.EXACT lists those that cannot).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from spikern._utils.errors import UnsupportedError
from spikern.engines.codegen.program import Op, Value

FORMS = {
    **{"mul": "{0} * {1}", "add": "{0} + {1}", "sub": "{0} - {1}", "div": "{0} / {1}"},
    **{"neg": "-{0}", "abs": "abs({0})", "reciprocal": "f32(1.0) / {0}", "square": "{0} * {0}"},
    **{"exp": "exponential({0})", "relu": "{0} if {0} > f32(0.0) else f32(0.0)"},
    **{k: f"f32(math.{k}({{0}}))" for k in ("log", "sqrt", "tanh", "sin", "cos", "atan", "erf")},
    **{k: f"f32(math.{k}({{0}}))" for k in ("log1p", "expm1", "floor")},
    **{"fmod": "f32(np.fmod({0}, {1}))", "rsqrt": "f32(1.0) / f32(math.sqrt({0}))"},
    "sigmoid": "f32(1.0) / (f32(1.0) + exponential(-{0}))",
    **{"gt": "{0} > {1}", "ge": "{0} >= {1}", "lt": "{0} < {1}", "le": "{0} <= {1}"},
    **{"eq": "{0} == {1}", "ne": "{0} != {1}", "where": "{1} if {0} else {2}"},
    **{"and": "{0} & {1}", "or": "{0} | {1}", "not": "not {0}"},
    **{"maximum": "{1} if {0} < {1} else {0}", "minimum": "{1} if {0} > {1} else {0}"},
    "clamp": "{1} if {0} < {1} else ({2} if {0} > {2} else {0})",
    "sign": "truth({0} > f32(0.0)) - truth({0} < f32(0.0))",
    "tanh_backward": "{0} * (f32(1.0) - {1} * {1})",
    "sigmoid_backward": "{0} * (f32(1.0) - {1}) * {1}",
    "threshold_backward": "{0} if {1} > {2} else f32(0.0)",
}
LOGIC = {"and", "or", "not"}


def literal(value: float) -> str:
    """A float32 constant.

    >>> literal(0.5)
    'f32(0.5)'
    """
    if math.isinf(value):
        return "f32(np.inf)" if value > 0 else "f32(-np.inf)"
    return f"f32({value!r})"


def expression(op: Op, names: Mapping[str, str], truths: set[str]) -> str:
    """The right-hand side of one operation."""

    def text(position: int, value: Value) -> str:
        if not isinstance(value, str):
            return literal(value)
        name = names.get(value, value)
        wants_truth = op.kind in LOGIC or (op.kind == "where" and position == 0)
        if value in truths:
            return name if wants_truth else f"truth({name})"
        return f"({name} != f32(0.0))" if wants_truth else name

    if op.kind == "pow":
        return _power(text(0, op.args[0]), op.args[1], text(1, op.args[1]))
    if op.kind not in FORMS:
        raise UnsupportedError(f"the kernel printer has no form for the operation '{op.kind}'")
    return FORMS[op.kind].format(*(text(k, a) for k, a in enumerate(op.args)))


def statements(ops: Iterable[Op], names: Mapping[str, str], truths: set[str]) -> list[str]:
    """One assignment per operation; `names` renames, `truths` are the boolean results."""
    return [f"{names.get(op.name, op.name)} = {expression(op, names, truths)}" for op in ops]


def value(result: Value, names: Mapping[str, str], truths: set[str]) -> str:
    """An output as text."""
    if not isinstance(result, str):
        return literal(result)
    name = names.get(result, result)
    return f"truth({name})" if result in truths else name


def fill(template: str, parts: Mapping[str, list[str]]) -> str:
    """The template with every line `@name` replaced by the lines of that part, indented alike.

    >>> fill("def f():\\n    @body\\n", {"body": ["a = 1", "return a"]})
    'def f():\\n    a = 1\\n    return a\\n'
    """
    lines: list[str] = []
    for line in template.splitlines():
        stripped = line.strip()
        if stripped.startswith("@") and stripped[1:] in parts:
            indent = line[: len(line) - len(line.lstrip())]
            lines += [indent + inner for inner in parts[stripped[1:]]]
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def _power(base: str, exponent: Value, text: str) -> str:
    if isinstance(exponent, float) and exponent.is_integer() and 1 <= exponent <= 8:
        return " * ".join([base] * int(exponent))
    if exponent == 0.5:
        return f"f32(math.sqrt({base}))"
    if exponent == 0.0:
        return "f32(1.0)"
    return f"f32(math.pow({base} , {text}))"
