"""The training kernels of a population in groups whose state decays while they sleep.

All neurons take a step; those asleep without a current, and they do not fire. What reaches a group,
and the gradients that leave it, are those of `expert_kernels`.
"""

from __future__ import annotations

from spikern.engines.codegen import kernels
from spikern.engines.codegen.expert_kernels import GROUPS
from spikern.engines.codegen.program import Gradient, Step

DECAYING = GROUPS._replace(
    i="gate * acc[group, h - own] if gate != f32(0.0) else f32(0.0)",
    blocks={
        **GROUPS.blocks,
        "update_neurons": """
for group in range(experts):
    own, gate = np.uint64(group * members), gains[at, group]
    @tape_sums
    for h in range(own, own + np.uint64(members)):
        @load
        @update
        @surrogate
        @tape
        @store
        @count
""",
        "differentiate_neurons": """
for group in range(experts):
    own, gate = np.uint64(group * members), gains[t * batch + b, group]
    u = group * span + e
    for h in range(own, own + np.uint64(members)):
        @load_adjoint
        @adjoint
        @store_adjoint
    d_gains[t * batch + b, group] = f32(0.0)
    if gate != f32(0.0):
        d_gains[t * batch + b, group] = product(di, u, raw, u)
    for j in range(members):
        di[u, j] *= gate
        db[own + j] += di[u, j]
        if passed:
            d_current[t, b, own + j] = di[u, j]
""",
    },
    awake="gate != f32(0.0)",
)


def source(step: Step, gradient: Gradient) -> str:
    """The text of a module with the training kernels of a neuron in groups that decay."""
    return kernels.source(step, gradient, DECAYING)
