"""Programs of scalar operations: what a neuron's kernels are printed from, without torch."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

Value = str | float | bool
"""The name of an earlier result or of an input, a number, or a truth value."""
COMPARISONS = {"gt", "ge", "lt", "le", "eq", "ne"}
ARITHMETIC: dict[str, Callable[..., Value]] = {
    name: getattr(operator, name) for name in ("add", "sub", "mul", *sorted(COMPARISONS))
}
"""What `with_values` computes of numbers."""
LOGIC = {"and", "or", "xor", "not"}
"""Operations whose result is true or false, as that of `where` is if its values are."""


@dataclass(frozen=True)
class Op:
    """One scalar operation: `name = kind(args)`; truth says that the result is true or false."""

    name: str
    kind: str
    args: tuple[Value, ...]
    truth: bool = False


@dataclass(frozen=True)
class Program:
    """Operations in the author's order; every output is an input, a result or a number."""

    inputs: tuple[str, ...]
    ops: tuple[Op, ...]
    outputs: dict[str, Value]


@dataclass(frozen=True)
class Step:
    """A neuron's step: inputs p_*, s_*, i, z; outputs n_* (next state), out and u.

    z is what `fire` returned, u its argument; a neuron that never fires has neither.
    """

    name: str
    program: Program

    @property
    def params(self) -> tuple[str, ...]:
        """The fields of the neuron's constants."""
        return _fields(self.program.inputs, "p_")

    @property
    def state(self) -> tuple[str, ...]:
        """The fields of its state."""
        return _fields(self.program.inputs, "s_")

    @property
    def spikes(self) -> bool:
        """Whether it fires."""
        return "u" in self.program.outputs


class Gradient(NamedTuple):
    """What the kernels of training need beside the step.

    adjoint     the vector-Jacobian product of the step, see `trace.adjoint`
    surrogate   the name of the surrogate
    derivative  its derivative: input u, output d
    primitive   its smooth primitive, input u, output z, in place of the spike; None for a spike
    """

    adjoint: Program
    surrogate: str
    derivative: Program
    primitive: Program | None


def power_as(exponent: Value) -> tuple[str, int]:
    """What a power is computed by: a product of so many factors, a root, or the function.

    >>> power_as(3.0), power_as(0.5), power_as("beta")
    (('mul', 3), ('sqrt', 1), ('pow', 1))
    """
    if isinstance(exponent, float) and exponent in range(1, 9):
        return "mul", int(exponent)
    return ("sqrt" if exponent == 0.5 else "pow"), 1


def needed(program: Program, outputs: Iterable[str]) -> list[Op]:
    """The operations that these outputs depend on, in order."""
    wanted = {program.outputs[o] for o in outputs}
    kept = []
    for op in reversed(program.ops):
        if op.name in wanted:
            kept.append(op)
            wanted |= set(op.args)
    return kept[::-1]


def with_values(program: Program, known: Mapping[str, float]) -> Program:
    """The program for inputs of known values, without the operations that then change nothing.

    >>> ops = (Op("a", "mul", ("z", "v")), Op("b", "sub", ("v", "a")), Op("c", "mul", ("p", "b")))
    >>> program = Program(("p", "v", "z"), ops, {"out": "c"})
    >>> with_values(program, {"z": 0.0}).ops
    (Op(name='c', kind='mul', args=('p', 'v'), truth=False),)
    """
    values: dict[str, Value] = dict(known)

    def of(value: Value) -> Value:
        return values.get(value, value) if isinstance(value, str) else value

    kept = []
    for op in program.ops:
        args = tuple(map(of, op.args))
        value = _without_operation(op.kind, args)
        if value is not None:
            values[op.name] = value
        elif op.kind == "sub" and args[0] == 0.0:
            kept.append(Op(op.name, "neg", args[1:]))
        else:
            kept.append(Op(op.name, op.kind, args, op.truth))
    outputs = {name: of(value) for name, value in program.outputs.items()}
    return Program(program.inputs, tuple(kept), outputs)


def _without_operation(kind: str, args: tuple[Value, ...]) -> Value | None:
    """The result that needs no operation, or None."""
    if kind in ARITHMETIC and not any(isinstance(a, str) for a in args):
        return ARITHMETIC[kind](*args)
    if kind == "where" and isinstance(args[0], bool):
        return args[1] if args[0] else args[2]
    for own, other in (args, args[::-1]) if len(args) == 2 else ():
        if kind == "mul" and own == 0.0:
            return 0.0
        if (kind, own) in (("mul", 1.0), ("add", 0.0)):
            return other
    return args[0] if kind == "sub" and args[1] == 0.0 else None


def constant_ops(program: Program) -> list[Op]:
    """The operations that depend on nothing but the neuron's constants: computed once, hoisted."""
    known = {n for n in program.inputs if n.startswith("p_")}
    hoisted = []
    for op in program.ops:
        if all(not isinstance(a, str) or a in known for a in op.args):
            known.add(op.name)
            hoisted.append(op)
    return hoisted


def _fields(names: Iterable[str], prefix: str) -> tuple[str, ...]:
    return tuple(n.removeprefix(prefix) for n in names if n.startswith(prefix))
