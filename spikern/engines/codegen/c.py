"""A neuron's update as C99 statements, the same float32 as in the kernels.

Every result is that of the numba kernels bit for bit, up to the last place of tanh and the like,
which are those of the C library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from spikern.engines.codegen import emit, kernels
from spikern.engines.codegen.program import Step


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


def update(step: Step) -> Update:
    """The step of a neuron: up to u, the spike, the rest.

    What depends on constants alone is read as c_*, in the order of the kernels.

    >>> from spikern.engines.codegen.trace import step
    >>> from spikern.neurons import LI
    >>> for line in update(step(LI)).lines:
    ...     print(line)
    const float x_mul = p_alpha_mem * s_v;
    const float x_mul_1 = c_0 * i;
    const float x_add = x_mul + x_mul_1;
    """
    parts = kernels.Parts(step, dialect=emit.C)
    lines = parts.update()
    stores = {f: parts.value(parts.forward, f"n_{f}") for f in step.state}
    out = parts.value(parts.forward, "out")
    words = set(re.findall(r"\w+", " ".join([*lines, *stores.values(), out])))
    sources = [*step.program.inputs, *parts.hoisted.values()]
    reads = tuple(name for name in sources if name in words and name[:2] in ("p_", "s_", "c_"))
    return Update(reads, tuple(lines), stores, out)
