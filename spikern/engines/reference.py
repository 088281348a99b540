"""The reference engine: the torch loop that defines what every other engine must do.

    i_t = current_t + w_rec z_{t-1}
    s_t, out_t = step(p, s_{t-1}, i_t)

`current` is the input projection w_in x_t + b, computed for all steps at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from spikern.engines.population import Input, Population, RunResult, dense, recurrent_weights
from spikern.neurons.model import Fire, NeuronModel, Params, State
from spikern.neurons.surrogate import spike


def run(
    model: NeuronModel,
    params: Params,
    state: State,
    current: Tensor,
    w_rec: Tensor | None,
    fire: Fire,
    lengths: Tensor | None = None,
) -> tuple[Tensor, State]:
    """Run a population over time.

    current (T, B, H), w_rec (H, H) as (to, from) or None, state fields (B, H), lengths (B,).
    Returns the outputs (T, B, H) and the state after each sample's last step. Past a sample's
    length the state does not change and the output is zero.
    """
    outputs = []
    for t, i in enumerate(current.unbind()):
        if w_rec is not None:
            i = i + state.z @ w_rec.T
        following, out = model.step(params, state, i, fire)
        if lengths is None:
            state = following
        else:
            running = (t < lengths).unsqueeze(1)
            state = model.state(*(torch.where(running, n, s) for n, s in zip(following, state)))
            out = torch.where(running, out, torch.zeros_like(out))
        outputs.append(out)
    return torch.stack(outputs), state


def run_stack(
    populations: Sequence[Population],
    states: Sequence[State],
    x: Input,
    lengths: Tensor | None = None,
) -> RunResult:
    """Run populations one after the other on x (T, B, F)."""
    out = dense(x)
    finals, spikes = [], []
    for p, state in zip(populations, states):
        current = functional.linear(out, p.w_in, p.bias)
        fire = spike(p.surrogate)
        out, final = run(p.model, p.params, state, current, recurrent_weights(p), fire, lengths)
        finals.append(final)
        if p.model.spikes:
            spikes.append(out.sum((0, 1)))
    return RunResult(out, finals, spikes)
