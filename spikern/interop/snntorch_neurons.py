"""snnTorch's neurons as step functions: the same numbers in the same order of operations.

    Leaky, RLeaky         v_t = alpha_mem v_{t-1} + i_t                           then the reset
    Lapicque              v_t = alpha_mem v_{t-1} + gain i_t                      then the reset
    Synaptic, RSynaptic   i_syn_t = alpha_syn i_syn_{t-1} + i_t
                          v_t = alpha_mem v_{t-1} + i_syn_t                       then the reset
    Alpha                 i_exc_t = alpha_exc i_exc_{t-1} + i_t
                          i_inh_t = alpha_inh i_inh_{t-1} - i_t
                          v_t = (i_exc_t + i_inh_t) scale                         then the reset
                          scale = 1 + log alpha_exc / (log alpha_inh - log alpha_exc)
    z_t = [v_t > v_th]

After the code of snntorch 1.0.0 (the file of each cell in `_neurons`). It differs from the neurons
of `spikern.neurons`: the gain of a current is 1, or a constant; decays are numbers, not time
constants, and are clamped to 0..1 at every step; the gradient is cut at a reset that waits for the
next update, and flows through a reset at the spike.

With `one_to_one` (`all_to_all=False` in snnTorch) a neuron receives its own last spike, weighted by
`w_self`: that is part of the step, and the layer has no recurrent matrix.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from spikern._utils.errors import UnsupportedError
from spikern.neurons.constants import Constant, real
from spikern.neurons.model import Fire, NeuronModel

Cell = Literal["Leaky", "Lapicque", "Synaptic", "Alpha", "RLeaky", "RSynaptic"]
RECURRENT: tuple[Cell, ...] = ("RLeaky", "RSynaptic")
"""The cells whose spikes come back to them."""
Mechanism = Literal["subtract", "zero", "none"]
Update = Callable[[Tensor], Tensor]
"""The membrane potential before the reset, from that of the last step."""
Reset = Callable[[Any, Any, Update, Fire], tuple[Tensor, Tensor]]
"""(params, state, update, fire) -> membrane potential and spikes."""


LeakyParams = namedtuple("LeakyParams", "alpha_mem v_th")
SelfLeakyParams = namedtuple("SelfLeakyParams", "alpha_mem v_th w_self")
LapicqueParams = namedtuple("LapicqueParams", "alpha_mem gain v_th")
SynapticParams = namedtuple("SynapticParams", "alpha_syn alpha_mem v_th")
SelfSynapticParams = namedtuple("SelfSynapticParams", "alpha_syn alpha_mem v_th w_self")
AlphaParams = namedtuple("AlphaParams", "alpha_exc alpha_inh v_th")
"""Decays of synapses and membrane, input gain, threshold, weight of a neuron's own spike, (H,)."""


class LeakyState(NamedTuple):
    """Membrane potential and last spikes, each (B, H)."""

    v: Tensor
    z: Tensor


class SynapticState(NamedTuple):
    """Synaptic current, membrane potential and last spikes, each (B, H)."""

    i_syn: Tensor
    v: Tensor
    z: Tensor


class AlphaState(NamedTuple):
    """Excitatory and inhibitory current, membrane potential and last spikes, each (B, H)."""

    i_exc: Tensor
    i_inh: Tensor
    v: Tensor
    z: Tensor


def subtract_next(p: Any, s: Any, update: Update, fire: Fire) -> tuple[Tensor, Tensor]:
    """Subtract v_th at the update after the spike."""
    v = update(s.v) - s.z.detach() * p.v_th
    return v, fire(v - p.v_th)


def zero_next(p: Any, s: Any, update: Update, fire: Fire) -> tuple[Tensor, Tensor]:
    """Leaky's "zero": the update after the spike starts from v = 0."""
    v = update((1 - s.z.detach()) * s.v)
    return v, fire(v - p.v_th)


def zero_skipping(p: Any, s: Any, update: Update, fire: Fire) -> tuple[Tensor, Tensor]:
    """All other cells' "zero": v = 0 after that update, so its current is lost too."""
    v = update(s.v)
    v = v - s.z.detach() * v
    return v, fire(v - p.v_th)


def subtract_now(p: Any, s: Any, update: Update, fire: Fire) -> tuple[Tensor, Tensor]:
    """Subtract v_th in the step of the spike.

    A membrane potential that is still above threshold is not reset again at the next update.
    """
    left = (s.v > p.v_th).to(s.v.dtype)
    v = update(s.v) - left * p.v_th
    z = fire(v - p.v_th)
    return v - (z - left) * p.v_th, z


def zero_now(p: Any, s: Any, update: Update, fire: Fire) -> tuple[Tensor, Tensor]:
    """Set v to 0 in the step of the spike."""
    v = update(s.v)
    z = fire(v - p.v_th)
    return v - z * v, z


def never(p: Any, s: Any, update: Update, fire: Fire) -> tuple[Tensor, Tensor]:
    """No reset."""
    v = update(s.v)
    return v, fire(v - p.v_th)


def _decayed(alpha: Tensor, x: Tensor) -> Tensor:
    return alpha.clamp(0, 1) * x


def _membrane(p: Any, s: Any, fire: Fire, reset: Reset, *currents: Tensor) -> tuple[Tensor, Tensor]:
    """Membrane potential and spikes after a step; the currents are added in their order."""

    def update(v: Tensor) -> Tensor:
        return sum(currents, _decayed(p.alpha_mem, v))

    return reset(p, s, update, fire)


def leaky(
    p: Any, s: LeakyState, i: Tensor, fire: Fire, reset: Reset, one_to_one: bool
) -> tuple[LeakyState, Tensor]:
    """Run one step of Leaky or RLeaky."""
    v, z = _membrane(p, s, fire, reset, i, *_own(p, s, one_to_one))
    return LeakyState(v, z), z


def synaptic(
    p: Any, s: SynapticState, i: Tensor, fire: Fire, reset: Reset, one_to_one: bool
) -> tuple[SynapticState, Tensor]:
    """Run one step of Synaptic or RSynaptic."""
    i_syn: Tensor = sum((i, *_own(p, s, one_to_one)), _decayed(p.alpha_syn, s.i_syn))
    v, z = _membrane(p, s, fire, reset, i_syn)
    return SynapticState(i_syn, v, z), z


def lapicque(
    p: Any, s: LeakyState, i: Tensor, fire: Fire, reset: Reset, one_to_one: bool
) -> tuple[LeakyState, Tensor]:
    """Run one step of Lapicque."""
    v, z = _membrane(p, s, fire, reset, p.gain * i)
    return LeakyState(v, z), z


def alpha(
    p: Any, s: AlphaState, i: Tensor, fire: Fire, reset: Reset, one_to_one: bool
) -> tuple[AlphaState, Tensor]:
    """Run one step of Alpha, whose reset sets the currents to 0 too."""
    i_exc, i_inh = _decayed(p.alpha_exc, s.i_exc) + i, _decayed(p.alpha_inh, s.i_inh) - i
    slow, quick = (torch.log(decay.clamp(0, 1)) for decay in (p.alpha_exc, p.alpha_inh))
    scale = slow / (quick - slow) + 1
    v, z = reset(p, s, lambda _: scale * (i_exc + i_inh), fire)
    if reset is not never:
        i_exc, i_inh = (x - s.z.detach() * x for x in (i_exc, i_inh))
    return AlphaState(i_exc, i_inh, v, z), z


def _own(p: Any, s: Any, one_to_one: bool) -> tuple[Tensor, ...]:
    """The current of a neuron's own last spike, if it is connected to itself."""
    return (s.z * p.w_self,) if one_to_one else ()


STEPS: dict[tuple[str, bool], tuple[Callable[..., Any], type[Any], type[Any]]] = {
    ("Leaky", False): (leaky, LeakyParams, LeakyState),
    ("Leaky", True): (leaky, SelfLeakyParams, LeakyState),
    ("Lapicque", False): (lapicque, LapicqueParams, LeakyState),
    ("Synaptic", False): (synaptic, SynapticParams, SynapticState),
    ("Synaptic", True): (synaptic, SelfSynapticParams, SynapticState),
    ("Alpha", False): (alpha, AlphaParams, AlphaState),
}
"""Step, params and state by (cell without its R, is connected to itself)."""
RESETS: dict[tuple[Cell, Mechanism, bool], Reset] = {
    ("Leaky", "subtract", True): subtract_next,
    ("Leaky", "subtract", False): subtract_now,
    ("Leaky", "zero", True): zero_next,
    ("Leaky", "zero", False): zero_now,
    ("Leaky", "none", True): never,
    ("Lapicque", "subtract", True): subtract_next,
    ("Lapicque", "zero", True): zero_skipping,
    ("Lapicque", "none", True): never,
    ("Synaptic", "subtract", True): subtract_next,
    ("Synaptic", "subtract", False): subtract_now,
    ("Synaptic", "zero", True): zero_skipping,
    ("Synaptic", "zero", False): zero_now,
    ("Synaptic", "none", True): never,
    ("Alpha", "zero", True): zero_skipping,
    ("Alpha", "none", True): never,
    ("RLeaky", "subtract", True): subtract_next,
    ("RLeaky", "subtract", False): subtract_now,
    ("RLeaky", "zero", True): zero_skipping,
    ("RLeaky", "zero", False): zero_now,
    ("RLeaky", "none", True): never,
    ("RSynaptic", "subtract", True): subtract_next,
    ("RSynaptic", "zero", True): zero_skipping,
    ("RSynaptic", "none", True): never,
}
"""The reset by (cell, reset_mechanism, reset_delay); without a reset the delay has no effect."""
CONSTANTS: dict[str, Constant] = {
    "alpha_exc": real("alpha_exc", 0.9),
    "alpha_inh": real("alpha_inh", 0.8),
    "alpha_syn": real("alpha_syn", 0.8),
    "gain": real("gain", 0.05),
    "alpha_mem": real("alpha_mem", 0.95),
    "v_th": real("v_th", 1.0),
    "w_self": real("w_self", 1.0),
}
"""Plain numbers as in snnTorch; fixed unless the cell learns them."""


@cache
def snntorch_neuron(
    cell: Cell,
    reset_mechanism: Mechanism = "subtract",
    reset_delay: bool = True,
    one_to_one: bool = False,
) -> NeuronModel:
    """Return the neuron that a cell of snnTorch with these settings computes.

    Raises UnsupportedError for a combination that snnTorch does not compute.

    >>> snntorch_neuron("RSynaptic", "zero").state._fields
    ('i_syn', 'v', 'z')
    """
    key = (cell, reset_mechanism, reset_delay)
    if key not in RESETS or (one_to_one and cell not in RECURRENT):
        raise UnsupportedError(
            f"snnTorch has no {cell} with reset_mechanism='{reset_mechanism}', "
            f"reset_delay={reset_delay}, one_to_one={one_to_one}"
        )
    step, params, state = STEPS[cell.removeprefix("R"), one_to_one]
    settings = [reset_mechanism, "" if reset_delay else "at once", "one-to-one" * one_to_one]
    return NeuronModel(
        name=" ".join(["snnTorch", cell, *filter(None, settings)]),
        step=partial(step, reset=RESETS[key], one_to_one=one_to_one),
        params=params,
        state=state,
        constants={field: CONSTANTS[field] for field in params._fields},
        source="snntorch 1.0.0",
    )
