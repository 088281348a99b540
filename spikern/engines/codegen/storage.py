"""A neuron's step as data in a file, and its reading from a file of any origin.

Kernels are printed from a step and run. So what is read has known operations alone, and names and
numbers of the form that a traced step has: no other text can reach a kernel.
"""

from __future__ import annotations

from string import Formatter
from typing import Any

from spikern.engines.codegen.emit import OPERATIONS
from spikern.engines.codegen.program import COMPARISONS, LOGIC, Op, Program, Step, needed

ARGUMENTS = {
    kind: len({field for _, field, _, _ in Formatter().parse(operation.numba) if field})
    for kind, operation in OPERATIONS.items()
}
"""The number of arguments of each operation."""


def to_data(step: Step) -> dict[str, Any]:
    """The step as dicts, lists, text and numbers.

    >>> from spikern.engines.codegen import trace
    >>> from spikern.neurons import LI
    >>> step = trace.step(LI)
    >>> to_data(step)["ops"][0]
    ['x_mul', 'mul', False, 'p_alpha_mem', 's_v']
    >>> from_data(to_data(step)) == step
    True
    """
    program = step.program
    return {
        "name": step.name,
        "inputs": list(program.inputs),
        "ops": [[op.name, op.kind, op.truth, *op.args] for op in program.ops],
        "outputs": program.outputs,
    }


def from_data(data: Any) -> Step:
    """The step that `to_data` wrote. Raises ValueError on anything else."""
    try:
        step, fits = _read(data)
    except (TypeError, KeyError, ValueError, AttributeError):
        fits = False
    if not fits:
        raise ValueError("this is not the step of a neuron")
    return step


def _read(data: Any) -> tuple[Step, bool]:
    """A step, and whether it has the form that `trace.step` gives."""
    inputs, ops = tuple(data["inputs"]), []
    known = set(inputs)
    fits = isinstance(data["name"], str) and len(known) == len(inputs)
    for name, kind, truth, *args in data["ops"]:
        fits &= all(_is_value(a, known) for a in args) and len(args) == ARGUMENTS[kind]
        fits &= _is_name(name, "x_") and name not in known and type(truth) is bool
        fits &= kind == "where" or truth == (kind in COMPARISONS | LOGIC)
        known.add(name)
        ops.append(Op(name, kind, tuple(args), truth))
    step = Step(data["name"], Program(inputs, tuple(ops), dict(data["outputs"])))
    params, state = ([n for n in inputs if _is_name(n, prefix)] for prefix in ("p_", "s_"))
    fields = [f"n_{n}" for n in step.state]
    outputs = step.program.outputs
    fits &= inputs == (*params, *state, "i", *(["z"] if step.spikes else []))
    fits &= [*outputs] == [*fields, "out", *(["u"] if step.spikes else [])]
    fits &= all(_is_value(v, known) for v in outputs.values())
    if fits and step.spikes:
        before = {outputs["u"], *(a for op in needed(step.program, ["u"]) for a in op.args)}
        fits = outputs.get("n_z") == outputs["out"] == "z" and "z" not in before
    return step, fits


def _is_name(name: Any, prefix: str) -> bool:
    """Whether it is an identifier with this prefix, which no template of the kernels uses."""
    return isinstance(name, str) and name.startswith(prefix) and name.isidentifier()


def _is_value(value: Any, known: set[str]) -> bool:
    """Whether it is a known name, a number or a truth value."""
    if isinstance(value, str):
        return value in known
    return type(value) is bool or (type(value) is float and value == value)
