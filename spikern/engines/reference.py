"""The reference engine: the torch loop that defines what every other engine must do.

    i_t = current_t + w_rec z_{t-1}
    s_t, out_t = step(p, s_{t-1}, i_t)

`current` is the input projection w_in x_t + b, computed for all steps at once. With delays the
spike of a neuron arrives as many steps later as its delay says. With a gain it is gain_t i_t that a
neuron gets, and a neuron whose gain is 0 sleeps: it cannot fire, and its state stands still or
decays.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from spikern.engines.population import (
    Delays,
    Population,
    RunResult,
    Spread,
    last_values,
    recurrent_weights,
)
from spikern.events.trains import Input, dense
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
    gain: Tensor | None = None,
    decaying: bool = False,
    delays: Delays | Spread | None = None,
) -> tuple[Tensor, State]:
    """Run a population over time.

    current (T, B, H), w_rec (H, H) as (to, from) or None, state fields (B, H), lengths (B,), gain
    (T, B, H). Returns the outputs (T, B, H) and the state after each sample's last step. Past a
    sample's length the state does not change and the output is zero. Where the gain is zero the
    output and the spikes in the state are zero; the rest of the state does not change, or, if
    `decaying`, takes a step without input.
    """
    outputs = []
    for t, i in enumerate(current.unbind()):
        if w_rec is not None:
            arriving = state.z if delays is None else _arriving(delays)
            i = i + arriving @ w_rec.T
        if gain is None:
            following, out = model.step(params, state, i, fire)
        else:
            awake = gain[t] != 0
            i = torch.where(awake, gain[t] * i, 0.0)
            following, out = model.step(params, state, i, _fire_where(awake, fire))
            if not decaying:
                following = _where(awake, following, state)._replace(z=out)
        if lengths is None:
            state = following
        else:
            running = (t < lengths).unsqueeze(1)
            state = _where(running, following, state)
            out = torch.where(running, out, 0.0)
        if delays is not None:
            delays = delays._replace(before=torch.cat([delays.before[1:], out.unsqueeze(0)]))
        outputs.append(out)
    return torch.stack(outputs), state


def _where(condition: Tensor, following: State, state: State) -> State:
    """Every field of the following state where the condition holds, else of the state."""
    return type(state)(*(torch.where(condition, n, s) for n, s in zip(following, state)))


def _arriving(delays: Delays | Spread) -> Tensor:
    """What arrives now (B, H)."""
    if isinstance(delays, Spread):
        return torch.einsum("dh,dbh->bh", delays.shares.flip(0), delays.before)
    steps, before = delays
    return before.gather(0, (len(before) - steps).expand(1, *before.shape[1:]))[0]


def _fire_where(awake: Tensor, fire: Fire) -> Fire:
    """What fires as `fire` does, but only where neurons are awake."""
    return lambda u: torch.where(awake, fire(u), 0.0)


def run_stack(
    populations: Sequence[Population],
    states: Sequence[State],
    x: Input,
    lengths: Tensor | None = None,
    gain: Tensor | None = None,
) -> RunResult:
    """Run populations one after the other on x (T, B, F); gain (T, B, E) is that of the first."""
    out = dense(x)
    finals, spikes, buffers = [], [], []
    for p, state in zip(populations, states):
        current = functional.linear(out, p.w_in, p.bias)
        fire, w_rec = spike(p.surrogate), recurrent_weights(p)
        own, decaying = None, p.router is not None and p.router.decaying
        if gain is not None:
            own, gain = gain.repeat_interleave(len(p.w_in) // gain.shape[2], 2), None
        arguments = p.model, p.params, state, current, w_rec, fire, lengths, own, decaying
        out, final = run(*arguments, p.delays)
        finals.append(final)
        if p.model.spikes:
            spikes.append(out.sum((0, 1)))
        if p.delays is not None:
            buffers.append(last_values(p.delays.before, out, lengths))
    return RunResult(out, finals, spikes, buffers)
