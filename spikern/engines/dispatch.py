"""A stack of populations on an engine, chosen by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from spikern._utils.tensors import without_autocast
from spikern.engines import fused, reference, triton
from spikern.engines.experts import Routing, route
from spikern.engines.population import Population, RunResult, check_shapes
from spikern.events.trains import Input
from spikern.neurons.model import State

ENGINES: dict[str, Callable[..., RunResult]] = {
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

    A population that does not spike ends a stack of the engine; so does one below groups of
    neurons, which its spikes wake. The next one begins another.
    Autocast is off inside: a spike is a comparison, which lower precision would move.
    """
    check_shapes(populations, x)
    first, arriving = 0, x
    finals: list[State] = []
    spikes: list[Tensor] = []
    buffers: list[Tensor] = []
    routings: list[Routing] = []
    for last, population in enumerate(populations):
        above = populations[last + 1 : last + 2]
        if population.model.spikes and above and not above[0].router:
            continue
        part = slice(first, last + 1)
        gain, router = None, populations[first].router
        with without_autocast(population.w_in.device):
            if router is not None:
                gain, routing = route(router, arriving, lengths)
                routings += [routing] if router.learned else []
            result = ENGINES[engine](populations[part], states[part], arriving, lengths, gain=gain)
        arriving = result.out
        finals += result.states
        spikes += result.spikes
        buffers += result.buffers
        first = last + 1
    return RunResult(result.out, finals, spikes, buffers, routings)
