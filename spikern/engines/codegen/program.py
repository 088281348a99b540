"""Programs of scalar operations: what a neuron's kernels are printed from, without torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

Value = str | float | bool
"""The name of an earlier result or of an input, a number, or a truth value."""
COMPARISONS = {"gt", "ge", "lt", "le", "eq", "ne"}
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


def needed(program: Program, outputs: Iterable[str]) -> list[Op]:
    """The operations that these outputs depend on, in order."""
    wanted = {program.outputs[o] for o in outputs}
    kept = []
    for op in reversed(program.ops):
        if op.name in wanted:
            kept.append(op)
            wanted |= set(op.args)
    return kept[::-1]


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
