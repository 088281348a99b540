"""The cost of a neuron's update, read off its equation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from spikern.engines.codegen import trace
from spikern.engines.codegen.emit import OPERATIONS
from spikern.engines.codegen.program import Value, constant_ops, needed
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
    hoisted = {op.name for op in constant_ops(program)}
    counts: Counter[str] = Counter()
    for op in needed(program, program.outputs):
        if op.name in hoisted:
            continue
        if op.kind == "pow":
            counts.update(_power(op.args[1]))
        else:
            counts.update(OPERATIONS[op.kind].cost)
    counts["compare"] += int(model.spikes)
    order = [kind for kind in ("mul", "add", "div", "compare") if counts[kind]]
    order += sorted(kind for kind in counts if kind not in order and counts[kind])
    return {kind: counts[kind] for kind in order}


def _power(exponent: Value) -> tuple[str, ...]:
    """x^n is n - 1 multiplications for a small whole n, else a logarithm and an exponential."""
    if isinstance(exponent, float) and exponent.is_integer() and 1 <= exponent <= 8:
        return ("mul",) * (int(exponent) - 1)
    return OPERATIONS["pow"].cost
