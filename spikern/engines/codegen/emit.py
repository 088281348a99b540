"""One table of the scalar operations, and programs printed as Python for numba and for Triton.

A target is numba (the kernels of the CPU), C99, Triton (the kernels of a GPU) or ONNX. Every
product and sum is a statement of its own rounding, in the author's order, so a kernel's spikes are
those of the reference engine bit for bit. exp, sqrt and the like are the exception: torch's
vectorised ones may differ in the last place. C needs a compiler that does not contract products
and sums (`-ffp-contract=off`), Triton the option `enable_fp_fusion=False`.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from spikern._utils.errors import UnsupportedError
from spikern.engines.codegen.program import LOGIC, Op, Value, power_as


class Operation(NamedTuple):
    """How each target writes an operation of {0}, {1}, {2}; empty where it cannot.

    onnx   nested operators of ONNX
    cost   what it counts as: a subtraction is an addition; a change of sign, an absolute value and
           the logic of single bits are free (a sign bit, folded into what follows)
    exact  whether it has one right result in float32, the same everywhere; exp, tanh and the like
           are approximations, and torch's may differ in the last place; so may torch's sqrt
    """

    numba: str
    c: str
    triton: str
    onnx: str
    cost: tuple[str, ...]
    exact: bool = True

    @property
    def operands(self) -> int:
        """How many values it takes."""
        forms = (self.numba, self.c, self.triton, self.onnx)
        return len(set(re.findall(r"\{(\d)\}", " ".join(forms))))


def _infix(sign: str, onnx: str, *cost: str, triton: str = "") -> Operation:
    form = f"{{0}} {sign} {{1}}"
    return Operation(form, form, triton or form, onnx, cost)


def _backward(form: str) -> Operation:
    """A part of a gradient, which only the kernels of training have."""
    return Operation(form.replace("1.0", "f32(1.0)"), "", form, "", (), False)


OPERATIONS = {
    "mul": _infix("*", "Mul({0}, {1})", "mul"),
    "add": _infix("+", "Add({0}, {1})", "add"),
    "sub": _infix("-", "Sub({0}, {1})", "add"),
    "div": _infix("/", "Div({0}, {1})", "div", triton="tl.div_rn({0}, {1})"),
    "gt": _infix(">", "Greater({0}, {1})", "compare"),
    "ge": _infix(">=", "GreaterOrEqual({0}, {1})", "compare"),
    "lt": _infix("<", "Less({0}, {1})", "compare"),
    "le": _infix("<=", "LessOrEqual({0}, {1})", "compare"),
    "eq": _infix("==", "Equal({0}, {1})", "compare"),
    "ne": _infix("!=", "Not(Equal({0}, {1}))", "compare"),
    "and": Operation("{0} & {1}", "{0} && {1}", "{0} & {1}", "And({0}, {1})", ()),
    "or": Operation("{0} | {1}", "{0} || {1}", "{0} | {1}", "Or({0}, {1})", ()),
    "xor": Operation("{0} != {1}", "{0} != {1}", "{0} ^ {1}", "Xor({0}, {1})", ()),
    "not": Operation("not {0}", "!{0}", "~{0}", "Not({0})", ()),
    "where": Operation(
        "{1} if {0} else {2}", "{0} ? {1} : {2}", "tl.where({0}, {1}, {2})",
        "Where({0}, {1}, {2})", ("select",),
    ),
    "maximum": Operation(
        "{1} if ({0} < {1}) | ({1} != {1}) else {0}", "{0} < {1} || {1} != {1} ? {1} : {0}",
        "tl.where(({0} < {1}) | ({1} != {1}), {1}, {0})", "Max({0}, {1})", ("compare",),
    ),
    "minimum": Operation(
        "{1} if ({0} > {1}) | ({1} != {1}) else {0}", "{0} > {1} || {1} != {1} ? {1} : {0}",
        "tl.where(({0} > {1}) | ({1} != {1}), {1}, {0})", "Min({0}, {1})", ("compare",),
    ),
    "sign": Operation(
        "truth({0} > f32(0.0)) - truth({0} < f32(0.0))", "(float)(({0} > 0.0f) - ({0} < 0.0f))",
        "({0} > 0.0).to(tl.float32) - ({0} < 0.0).to(tl.float32)", "Sign({0})",
        ("compare", "compare"),
    ),
    "neg": Operation("-{0}", "-{0}", "-{0}", "Neg({0})", ()),
    "abs": Operation("abs({0})", "fabsf({0})", "tl.abs({0})", "Abs({0})", ()),
    "reciprocal": Operation(
        "f32(1.0) / {0}", "1.0f / {0}", "tl.div_rn(1.0, {0})", "Reciprocal({0})", ("div",)
    ),
    "floor": Operation("np.floor({0})", "floorf({0})", "tl.floor({0})", "Floor({0})", ("floor",)),
    "ceil": Operation("np.ceil({0})", "ceilf({0})", "tl.ceil({0})", "Ceil({0})", ("ceil",)),
    "trunc": Operation(
        "np.trunc({0})", "truncf({0})", "tl.where({0} < 0.0, tl.ceil({0}), tl.floor({0}))",
        "Mul(Sign({0}), Floor(Abs({0})))", ("trunc",),
    ),
    "round": Operation("np.rint({0})", "rintf({0})", "nearest({0})", "Round({0})", ("round",)),
    "fmod": Operation(
        "np.fmod({0}, {1})", "fmodf({0}, {1})", "", "Mod({0}, {1}, fmod=1)", ("fmod",)
    ),
    "sqrt": Operation(
        "np.sqrt({0})", "sqrtf({0})", "tl.sqrt_rn({0})", "Sqrt({0})", ("sqrt",), False
    ),
    "rsqrt": Operation(
        "f32(1.0) / np.sqrt({0})", "1.0f / sqrtf({0})", "tl.div_rn(1.0, tl.sqrt_rn({0}))",
        "Reciprocal(Sqrt({0}))", ("sqrt", "div"), False,
    ),
    "exp": Operation(
        *("exponential({0})",) * 3, "Exp({0})", ("exp",), False
    ),
    "sigmoid": Operation(
        "f32(1.0) / (f32(1.0) + exponential(-{0}))", "1.0f / (1.0f + exponential(-{0}))",
        "tl.div_rn(1.0, 1.0 + exponential(-{0}))", "Sigmoid({0})", ("sigmoid",), False,
    ),
    "log": Operation("np.log({0})", "logf({0})", "tl.log({0})", "Log({0})", ("log",), False),
    "log1p": Operation(
        "np.log1p({0})", "log1pf({0})", "log1p({0})", "Log(Add(1.0, {0}))", ("log1p",), False
    ),
    "expm1": Operation(
        "np.expm1({0})", "expm1f({0})", "expm1({0})", "Sub(Exp({0}), 1.0)", ("expm1",), False
    ),
    "tanh": Operation("tangent({0})", "tanhf({0})", "tanh({0})", "Tanh({0})", ("tanh",), False),
    "sin": Operation("np.sin({0})", "sinf({0})", "tl.sin({0})", "Sin({0})", ("sin",), False),
    "cos": Operation("np.cos({0})", "cosf({0})", "tl.cos({0})", "Cos({0})", ("cos",), False),
    "atan": Operation(
        "np.arctan({0})", "atanf({0})", "arctan({0})", "Atan({0})", ("atan",), False
    ),
    "erf": Operation(
        "f32(math.erf({0}))", "erff({0})", "tl.erf({0})", "Erf({0})", ("erf",), False
    ),
    "pow": Operation(
        "np.power({0}, {1})", "powf({0}, {1})", "power({0}, {1})", "Pow({0}, {1})",
        ("log", "mul", "exp"), False,
    ),
    "tanh_backward": _backward("{0} * (1.0 - {1} * {1})"),
    "sigmoid_backward": _backward("{0} * (1.0 - {1}) * {1}"),
    "threshold_backward": Operation(
        "f32(0.0) if {1} <= {2} else {0}", "", "tl.where({1} <= {2}, 0.0, {0})", "", (), False
    ),
}  # fmt: skip
"""Every operation of a step and of its gradient. numba's functions are those of numpy: where the
result is NaN or infinite they say so, as torch does, and those of `math` raise."""


NAMES = {"numba": "numba", "c": "C", "triton": "Triton", "onnx": "ONNX"}


class Dialect(NamedTuple):
    """How a target writes what is not an operation.

    column          its forms in OPERATIONS
    literal         a float32 constant
    number, truth   a truth value {0} as a number, and the reverse
    spike           the statement that fires: z from u
    """

    column: str
    literal: Callable[[float], str]
    number: str
    truth: str
    spike: str


def literal(value: float) -> str:
    """A float32 constant of numba.

    >>> literal(0.5)
    'f32(0.5)'
    """
    if math.isfinite(value):
        return f"f32({float(value)!r})"
    return f"f32({'-' if value < 0 else ''}np.{abs(value)})"


def _triton_literal(value: float) -> str:
    return repr(float(value)) if math.isfinite(value) else f'float("{value}")'


NUMBA = Dialect("numba", literal, "truth({0})", "({0} != f32(0.0))", "z = truth(u > f32(0.0))")
TRITON = Dialect(
    "triton",
    _triton_literal,
    "{0}.to(tl.float32)",
    "({0} != 0.0)",
    "z = tl.where(on & (u > 0.0), 1.0, 0.0)",
)
"""A spike of Triton is in a neuron that exists, which `on` says."""


def form_of(kind: str, target: str) -> str:
    """How a target, a column of the table, writes an operation; UnsupportedError if it cannot."""
    form: str = getattr(OPERATIONS[kind], target)
    if not form:
        raise UnsupportedError(f"the operation '{kind}' has no form in {NAMES[target]}")
    return form


def expression(op: Op, names: Mapping[str, str], truths: set[str], dialect: Dialect = NUMBA) -> str:
    """The right-hand side of one operation.

    >>> op = Op("y", "div", ("x", 2.0))
    >>> [expression(op, {}, set(), dialect) for dialect in (NUMBA, TRITON)]
    ['x / f32(2.0)', 'tl.div_rn(x, 2.0)']
    """

    def text(position: int, value: Value) -> str:
        wants_truth = op.kind in LOGIC or (op.kind == "where" and (position == 0 or op.truth))
        if not isinstance(value, str):
            return str(bool(value)) if wants_truth else dialect.literal(value)
        name = names.get(value, value)
        if value in truths:
            return name if wants_truth else dialect.number.format(name)
        return dialect.truth.format(name) if wants_truth else name

    args = [text(k, a) for k, a in enumerate(op.args)]
    kind = op.kind
    if kind == "pow":
        kind, factors = power_as(op.args[1])
        if kind == "mul":
            return " * ".join(args[:1] * factors)
    form = form_of(kind, dialect.column)
    if dialect is NUMBA:
        for function in re.findall(r"np\.(\w+)", form):
            _check_known(function, len(re.findall(r"\{", form)), kind)
    return form.format(*args)


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


def statements(
    ops: Iterable[Op], names: Mapping[str, str], truths: set[str], dialect: Dialect = NUMBA
) -> list[str]:
    """One assignment per operation; `names` renames, `truths` are the boolean results."""
    return [
        f"{names.get(op.name, op.name)} = {expression(op, names, truths, dialect)}" for op in ops
    ]


def value(
    result: Value, names: Mapping[str, str], truths: set[str], dialect: Dialect = NUMBA
) -> str:
    """An output as text."""
    if not isinstance(result, str):
        return dialect.literal(result)
    name = names.get(result, result)
    return dialect.number.format(name) if result in truths else name


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
