"""A population whose axons take several steps, run on any engine as one whose axons take none.

    i_t = w_in x_{t-d} + w_rec z_{t-d'} + bias,    each axon with a delay d >= 0, d' >= 1 of its own

What comes from below is delayed before the engine sees it. What comes from the population itself
is known as many steps ahead as its shortest axon is long: so many steps are run at a time, and
the recurrence is an input like the other. So every engine means the same by it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spikern.engines.stack import Outcome, Population
from spikern.layers.delay import Axons
from spikern.layers.line import under_way
from spikern.layers.stacks import run_stack
from spikern.types import State


def run_late(
    engine: str,
    population: Population,
    state: State,
    x: Tensor,
    lengths: Tensor | None,
    line: Tensor,
    below: Axons | None,
    own: Axons | None,
) -> Outcome:
    """Run a population on x (T, B, F) that arrives by `below` and hears itself by `own`.

    line (D, B, A) holds the last D values of x where `below` is one, then of its own spikes where
    `own` is one; that after each sample's last step is the outcome's.
    """
    outside, inside = line.tensor_split([x.shape[2] if below is not None else 0], 2)
    sent = [x] if below is not None else []
    if below is not None:
        x = below.arriving(torch.cat([outside, x]), len(line), len(x))
    if own is None:
        made = run_stack(engine, [population], [state], x, lengths)
    else:
        made = _by_steps(engine, population, state, x, lengths, inside, own)
        sent.append(made.out)
    return made._replace(line=under_way(line, torch.cat(sent, 2), lengths))


def _by_steps(
    engine: str,
    population: Population,
    state: State,
    x: Tensor,
    lengths: Tensor | None,
    line: Tensor,
    own: Axons,
) -> Outcome:
    """As many steps at a time as the shortest axon is long."""
    outs: list[Tensor] = []
    spikes: list[Tensor] = []
    ahead = own.nearest
    for begin in range(0, len(x), ahead):
        part = x[begin : begin + ahead]
        late = own.arriving(line, len(line), len(part))
        left = None if lengths is None else (lengths - begin).clamp(0, len(part))
        given = torch.cat([part, late], 2)
        made = run_stack(engine, [population], [state], given, left)
        (state,) = made.states
        outs.append(made.out)
        spikes.append(made.spikes[0])
        line = torch.cat([line, made.out])[len(part) :]
    return Outcome(torch.cat(outs), [state], [torch.stack(spikes).sum(0)])
