"""A stack of populations on an engine, chosen by name."""

from __future__ import annotations

from torch import Tensor

from spikern.engines import fused, reference
from spikern.engines.population import Input, Population, RunResult
from spikern.neurons.model import State

ENGINES = {"fused": fused.run_stack, "reference": reference.run_stack}


def run_stack(
    engine: str,
    populations: list[Population],
    states: list[State],
    x: Input,
    lengths: Tensor | None = None,
) -> RunResult:
    """Populations one above the other on an engine; those that do not fire are run by themselves.

    x (T, B, F), lengths (B,); see `Population` and `RunResult`.
    """
    first, arriving = 0, x
    finals: list[State] = []
    spikes: list[Tensor] = []
    for last, population in enumerate(populations):
        if population.model.spikes and last < len(populations) - 1:
            continue
        part = slice(first, last + 1)
        made = ENGINES[engine](populations[part], states[part], arriving, lengths)
        arriving = made.out
        finals += made.states
        spikes += made.spikes
        first = last + 1
    return RunResult(made.out, finals, spikes)
