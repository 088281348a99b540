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
    blocks={**GROUPS.blocks, "stand_still": "", "hand_on_gradients": ""},
    awake="gate != f32(0.0)",
)


def source(step: Step, gradient: Gradient) -> str:
    """The text of a module with the training kernels of a neuron in groups that decay."""
    return kernels.source(step, gradient, DECAYING)
