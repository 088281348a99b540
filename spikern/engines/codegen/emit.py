"""Programs printed as scalar Python for numba: one line per operation, float32 throughout.

Every product and sum is a statement of its own rounding, in the author's order, so a kernel's
spikes are those of the reference engine bit for bit. exp, sqrt and the like are the exception:
torch's vectorised ones may differ in the last place (trace.EXACT lists those that cannot).
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping

import numpy as np

from spikern._utils.errors import UnsupportedError
from spikern.engines.codegen.program import LOGIC, Op, Value

FORMS = {
    **{"mul": "{0} * {1}", "add": "{0} + {1}", "sub": "{0} - {1}", "div": "{0} / {1}"},
    **{"neg": "-{0}", "abs": "abs({0})", "reciprocal": "f32(1.0) / {0}"},
    **{k: f"np.{k}({{0}})" for k in ("log", "sqrt", "tanh", "sin", "cos", "log1p", "expm1")},
    **{k: f"np.{k}({{0}})" for k in ("floor", "ceil", "trunc")},
    **{"atan": "np.arctan({0})", "round": "np.rint({0})", "fmod": "np.fmod({0}, {1})"},
    **{"erf": "f32(math.erf({0}))", "rsqrt": "f32(1.0) / np.sqrt({0})"},
    **{"exp": "exponential({0})", "sigmoid": "f32(1.0) / (f32(1.0) + exponential(-{0}))"},
    **{"gt": "{0} > {1}", "ge": "{0} >= {1}", "lt": "{0} < {1}", "le": "{0} <= {1}"},
    **{"eq": "{0} == {1}", "ne": "{0} != {1}", "where": "{1} if {0} else {2}"},
    **{"and": "{0} & {1}", "or": "{0} | {1}", "xor": "{0} != {1}", "not": "not {0}"},
    "maximum": "{1} if ({0} < {1}) | ({1} != {1}) else {0}",
    "minimum": "{1} if ({0} > {1}) | ({1} != {1}) else {0}",
    "sign": "truth({0} > f32(0.0)) - truth({0} < f32(0.0))",
    "tanh_backward": "{0} * (f32(1.0) - {1} * {1})",
    "sigmoid_backward": "{0} * (f32(1.0) - {1}) * {1}",
    "threshold_backward": "f32(0.0) if {1} <= {2} else {0}",
}
"""Every operation but a power. Functions are those of numpy: where the result is no number or is
infinite they say so, as torch does, and those of `math` raise."""


def literal(value: float) -> str:
    """A float32 constant.

    >>> literal(0.5)
    'f32(0.5)'
    """
    if math.isfinite(value):
        return f"f32({float(value)!r})"
    return f"f32({'-' if value < 0 else ''}np.{abs(value)})"


def expression(op: Op, names: Mapping[str, str], truths: set[str]) -> str:
    """The right-hand side of one operation."""

    def text(position: int, value: Value) -> str:
        wants_truth = op.kind in LOGIC or (op.kind == "where" and (position == 0 or op.truth))
        if not isinstance(value, str):
            return str(bool(value)) if wants_truth else literal(value)
        name = names.get(value, value)
        if value in truths:
            return name if wants_truth else f"truth({name})"
        return f"({name} != f32(0.0))" if wants_truth else name

    if op.kind == "pow":
        return _power(text(0, op.args[0]), op.args[1], text(1, op.args[1]))
    for function in re.findall(r"np\.(\w+)", FORMS[op.kind]):
        _check_known(function, len(op.args), op.kind)
    return FORMS[op.kind].format(*(text(k, a) for k, a in enumerate(op.args)))


@functools.cache
def _check_known(function: str, arguments: int, kind: str) -> None:
    """Raise UnsupportedError if numba has no such function of numpy, of float32 arguments."""
    import numba  # late: a layer is made without it
    from numba.core import types
    from numba.core.errors import NumbaError
    from numba.core.registry import cpu_target

    context = cpu_target.typing_context
    context.refresh()
    try:
        known = context.resolve_value_type(getattr(np, function))
        known.get_call_type(context, (types.float32,) * arguments, {})
    except (NumbaError, ValueError) as error:
        raise UnsupportedError(
            f"numba {numba.__version__} has no np.{function}, which the kernel of the operation "
            f"{kind} needs; install another numba, or use engine='reference'"
        ) from error


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
    if isinstance(exponent, float) and exponent in range(1, 9):
        return " * ".join([base] * int(exponent))
    if exponent == 0.5:
        return f"np.sqrt({base})"
    return f"np.power({base}, {text})"
