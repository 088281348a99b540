"""Analog signals as events: pure functions of a tensor; a random generator is an argument."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from spikern._utils.choices import check_type
from spikern._utils.errors import InputError
from spikern._utils.numbers import check_counts, check_whole
from spikern.events.crossing import crossings


def latency(x: Tensor, steps: int) -> Tensor:
    """Time to first spike: x (B, F) in 0..1 as one spike each, earlier for larger x, (T, B, F).

        t = round((1 - x) (T - 1)),  none where x is 0

    Source: the code by the time of the first spike of Thorpe, Delorme and Van Rullen,
    Spike-based strategies for rapid processing, Neural Networks 14, 715-725 (2001); the linear
    map from value to time is ours.

    >>> latency(torch.tensor([[1.0, 0.5, 0.0]]), steps=3)[:, 0]
    tensor([[1., 0., 0.],
            [0., 1., 0.],
            [0., 0., 0.]])
    """
    _check_signal(x, 2, "(B, F)")
    _check_unit("x", x)
    check_counts(steps=steps)
    exact = x.to(torch.promote_types(x.dtype, torch.float32))  # half precision skips steps
    when = ((1 - exact) * (steps - 1)).round()
    t = torch.arange(steps, dtype=exact.dtype, device=x.device).view(-1, 1, 1)
    return ((t == when) & (x > 0)).to(x.dtype)


def rate(x: Tensor, generator: torch.Generator) -> Tensor:
    """Bernoulli spikes in the shape of x (T, B, F), whose values are their probabilities.

        P(z = 1) = x,  independent of all others

    For a value that is constant over time, pass `x.expand(steps, -1, -1)`. Source: the Bernoulli
    approximation of a Poisson process, Dayan and Abbott, Theoretical Neuroscience (2001).

    >>> generator = torch.Generator().manual_seed(0)
    >>> rate(torch.tensor([[[0.0, 1.0]]]), generator)
    tensor([[[0., 1.]]])
    """
    _check_signal(x, 3, "(T, B, F)")
    _check_unit("x", x)
    return torch.bernoulli(x, generator=generator)


def integrate(x: Tensor) -> Tensor:
    """Integrate and fire: x (T, B, F) in 0..1 as evenly spaced spikes of that rate.

        c_t = x_1 + ... + x_t,   z_t = floor(c_t) - floor(c_{t-1})

    The spikes up to any step are as many as their rates sum to, rounded down. It is the perfect
    integrator with a threshold of 1 and reset by subtraction, summed in float64; a sum that is a
    whole number but for its rounding, within 1e-9, is that number.

    >>> integrate(torch.full((5, 1, 1), 0.5)).flatten()
    tensor([0., 1., 0., 1., 0.])
    """
    _check_signal(x, 3, "(T, B, F)")
    _check_unit("x", x)
    count = (x.double().cumsum(0) + 1e-9).floor()
    return count.diff(dim=0, prepend=torch.zeros_like(count[:1])).clamp(max=1).to(x.dtype)


def delta(x: Tensor, threshold: float) -> Tensor:
    """Send-on-delta, or level crossing: events in {-1, 0, 1} of x (T, B, F), in its shape.

        e_t = sign(x_t - r_{t-1})  if |x_t - r_{t-1}| >= threshold, else 0
        r_t = r_{t-1} + threshold e_t,    r before the first step is 0

    There is at most one event per step, so a jump of several thresholds takes as many steps. The
    level at which a signal starts is sent too. `threshold * events.cumsum(0)` follows the signal,
    within the threshold while the signal moves by no more than that per step.

    Source: Miskowicz, Send-on-delta concept: an event-based data reporting strategy,
    Sensors 6, 49-63 (2006); here in discrete time, with signed events of one size.

    >>> x = torch.tensor([0.0, 0.3, 0.6, 0.5, 0.0])
    >>> delta(x.view(-1, 1, 1), threshold=0.25).flatten()
    tensor([ 0.,  1.,  1.,  0., -1.])
    """
    _check_signal(x, 3, "(T, B, F)")
    exact = torch.promote_types(x.dtype, torch.float32)  # half precision counts to 256 or 2048
    events: Tensor = crossings(x, threshold, x.new_zeros(x.shape[1:], dtype=exact))[0]
    return events


def on_off(events: Tensor) -> Tensor:
    """Signed events (T, B, F) as spikes of two channels per feature, (T, B, 2F).

        z = [e = 1, e = -1]:  F channels ON, then F channels OFF

    >>> on_off(torch.tensor([[[1.0, -1.0]]]))
    tensor([[[1., 0., 0., 1.]]])
    """
    _check_signal(events, 3, "(T, B, F)")
    if not bool(((events == 0) | (events.abs() == 1)).all()):
        raise InputError("expected events in -1, 0, 1, as of `delta`, got other values")
    return torch.cat([events == 1, events == -1], dim=2).to(events.dtype)


def population(
    x: Tensor, neurons: int, low: float = 0.0, high: float = 1.0, beta: float = 1.5
) -> Tensor:
    """Gaussian receptive fields: responses in 0..1 of `neurons` per feature, (..., F neurons).

        response_j = exp(-(x - centre_j)^2 / (2 width^2)),   j = 1 .. neurons
        centre_j = low + (2 j - 3) / 2 gap,   width = gap / beta
        gap = (high - low) / (neurons - 2)

    The outermost centres lie half a gap outside low..high. The responses become spikes by
    `latency`, as in the source, or by `rate` or `integrate`.

    Source: Bohte, Kok and La Poutré, Error-backpropagation in temporally encoded networks of
    spiking neurons, Neurocomputing 48, 17-37 (2002).

    >>> population(torch.tensor([[0.5]]), neurons=3, beta=1.0)
    tensor([[0.6065, 1.0000, 0.6065]])
    """
    _check_signal(x, x.ndim, "(..., F)")
    check_whole(neurons=neurons)
    if neurons < 3:
        raise InputError(f"neurons must be at least 3, got {neurons}")
    if not (low < high and math.isfinite(high - low)):
        raise InputError(f"low must be below high and both finite, got {low} and {high}")
    if not (beta > 0 and math.isfinite(beta)):
        raise InputError(f"beta must be above 0 and finite, got {beta}")
    gap = (high - low) / (neurons - 2)
    j = torch.arange(1, neurons + 1, dtype=x.dtype, device=x.device)
    centre = low + (2 * j - 3) / 2 * gap
    distance = (x.unsqueeze(-1) - centre) * beta / gap
    return torch.exp(-distance.square() / 2).flatten(-2)


def _check_signal(x: Tensor, ndim: int, shape: str) -> None:
    """Raise InputError unless x is floating, finite and of `ndim` dimensions, at least one."""
    check_type("x", x, Tensor)
    if x.ndim != ndim or x.ndim == 0 or not x.is_floating_point():
        raise InputError(f"expected floating x {shape}, got {tuple(x.shape)} {x.dtype}")
    if not bool(torch.isfinite(x).all()):
        raise InputError("x holds NaN or infinite values; clean or mask it first")


def _check_unit(name: str, x: Tensor) -> None:
    """Raise InputError unless the values lie in 0..1."""
    if x.numel() and not (float(x.min()) >= 0 and float(x.max()) <= 1):
        raise InputError(
            f"{name} must lie in 0..1, got {float(x.min()):g}..{float(x.max()):g}; scale it first"
        )
