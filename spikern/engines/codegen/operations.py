"""The cost of a neuron's update, read off its equation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from spikern.engines.codegen import trace
from spikern.engines.codegen.emit import OPERATIONS
from spikern.engines.codegen.program import (
    Program,
    Value,
    constant_ops,
    needed,
    power_as,
    with_values,
)
from spikern.neurons.model import NeuronModel


def update_ops(model: NeuronModel) -> Mapping[str, int]:
    """Operations of one neuron in one step, by kind, read off its equation.

    What depends on the constants alone (1 - alpha_mem) is computed once, not every step, and is
    not counted. The threshold of a spiking neuron is one comparison.

    >>> from spikern.neurons import LIF
    >>> update_ops(LIF)
    {'mul': 3, 'add': 3, 'compare': 1}
    """
    program = trace.forward(model)
    return _counts(program, tuple(program.outputs), int(model.spikes))


def sleep_ops(model: NeuronModel, fired: bool) -> Mapping[str, int]:
    """Those of one step asleep: without a current, and without a spike.

    `fired` says whether the neuron fired in the step before, so that it is reset.

    >>> from spikern.neurons import LIF
    >>> sleep_ops(LIF, True), sleep_ops(LIF, False)
    ({'mul': 2, 'add': 1}, {'mul': 1})
    """
    known = {"i": 0.0, "z": 0.0} | ({} if fired else {"s_z": 0.0})
    program = with_values(trace.forward(model), known)
    return _counts(program, tuple(f"n_{field}" for field in model.state._fields), 0)


def _counts(program: Program, outputs: tuple[str, ...], comparisons: int) -> Mapping[str, int]:
    """The operations that these outputs need in every step, by kind, and more comparisons."""
    hoisted = {op.name for op in constant_ops(program)}
    counts = Counter(compare=comparisons)
    for op in needed(program, outputs):
        if op.name in hoisted:
            continue
        if op.kind == "pow":
            counts.update(_power(op.args[1]))
        else:
            counts.update(OPERATIONS[op.kind].cost)
    order = [kind for kind in ("mul", "add", "div", "compare") if counts[kind]]
    order += sorted(kind for kind in counts if kind not in order and counts[kind])
    return {kind: counts[kind] for kind in order}


def _power(exponent: Value) -> tuple[str, ...]:
    """What a power is counted as: x^n is n - 1 multiplications for a small whole n."""
    kind, factors = power_as(exponent)
    return ("mul",) * (factors - 1) if kind == "mul" else OPERATIONS[kind].cost
