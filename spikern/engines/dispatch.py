"""A stack of populations on an engine, chosen by name."""

from __future__ import annotations

import torch
from torch import Tensor

from spikern.engines import fused, reference, triton
from spikern.engines.population import Input, Population, RunResult, check_shapes
from spikern.neurons.model import State

ENGINES = {
    "fused": fused.run_stack, "triton": triton.run_stack, "reference": reference.run_stack,
}  # fmt: skip


def run_stack(
    engine: str,
    populations: list[Population],
    states: list[State],
    x: Input,
    lengths: Tensor | None = None,
) -> RunResult:
    """Run populations one above the other on an engine; x (T, B, F), lengths (B,).

    A population that does not spike ends a stack of the engine; the next one begins another.
    Autocast is off inside: a spike is a comparison, which lower precision would move.
    """
    check_shapes(populations, x)
    first, arriving = 0, x
    finals: list[State] = []
    spikes: list[Tensor] = []
    for last, population in enumerate(populations):
        if population.model.spikes and last < len(populations) - 1:
            continue
        part = slice(first, last + 1)
        with torch.autocast(population.w_in.device.type, enabled=False):
            result = ENGINES[engine](populations[part], states[part], arriving, lengths)
        arriving = result.out
        finals += result.states
        spikes += result.spikes
        first = last + 1
    return RunResult(result.out, finals, spikes)
