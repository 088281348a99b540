"""Axons of different length: every channel arrives a number of whole steps later.

    i_t = w_in x_{t-d} + w_rec z_{t-d'} + bias,    each axon with its own delay d >= 0, d' >= 1

`Delay` and `LearnedDelay` delay a sequence; what is still under way when it ends is their buffer,
which is part of a layer's state. The input of a population is delayed before an engine gets it, its
own spikes by the engine.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import namedtuple
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from spikern._utils.errors import InputError, UnsupportedError
from spikern._utils.numbers import check_whole
from spikern.engines.population import Delays, Spread, last_values
from spikern.events.trains import dense, valid_steps
from spikern.layers import arguments
from spikern.neurons.model import State


class Axons(nn.Module, ABC):
    """Base of fixed and learned delays: `out, buffer = delay(x, buffer, lengths)`.

    steps     (F,) the delay of each channel in whole steps
    shortest  the least that they may be
    longest   the most, which are the steps that the buffer holds
    """

    steps: Tensor
    shortest: int
    longest: int

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.batch_first = batch_first

    @abstractmethod
    def arrivals(self, history: Tensor, count: int) -> Tensor:
        """Return what arrives at the last `count` steps of history (., B, F), after `longest` or
        more others: (count, B, F)."""

    @abstractmethod
    def under_way(self, buffer: Tensor) -> Delays | Spread:
        """Return what an engine delays recurrent spikes by, with the last ones (D, B, F)."""

    def forward(
        self,
        x: arguments.LayerInput,
        buffer: Tensor | None = None,
        lengths: arguments.Lengths | None = None,
    ) -> tuple[Any, Tensor]:
        """Return what arrives, in the layout of x, and the buffer after each sample's last step."""
        batched, lengths = arguments.to_time_first(x, lengths, self.batch_first)
        batched = dense(batched)
        arguments.check_weights(self)
        steps, channels = len(batched), len(self.steps)
        arguments.check_input(batched, channels, batched.dtype)
        batch = batched.shape[1]
        if lengths is not None:
            lengths = lengths.to(batched.device)
            arguments.check_lengths(lengths, steps, batch)
        single = arguments.is_single(x)
        shape = (self.longest, channels) if single else (self.longest, batch, channels)
        if buffer is None:
            buffer = batched.new_zeros(shape)
        if not isinstance(buffer, Tensor):
            raise InputError(
                f"expected the buffer that an earlier call returned, got {type(buffer).__name__}"
            )
        found = f"{tuple(buffer.shape)} of {buffer.dtype}"
        if tuple(buffer.shape) != shape or buffer.dtype != batched.dtype:
            raise InputError(f"expected a buffer of shape {shape} of {batched.dtype}, got {found}")
        arguments.check_finite({"the buffer": buffer}, "start from None or a finite buffer")
        buffer = buffer.unsqueeze(1) if single else buffer
        out = self.arrivals(torch.cat([buffer, batched]), steps)
        if lengths is not None:
            valid = valid_steps(lengths, steps).unsqueeze(2)
            out = torch.where(valid, out, torch.zeros_like(out))
        after = last_values(buffer, batched, lengths)
        after = after.squeeze(1) if single else after
        return arguments.to_layout_of(x, out, self.batch_first), after


class Delay(Axons):
    """Delay channel f by `steps[f]` whole steps: out_t[f] = x_{t - steps[f]}[f].

    `out, buffer = delay(x, buffer, lengths)` for x in any layout of a SpikingRNN. `buffer`
    (D, B, F), or (D, F) for x (T, F), holds the last D = max(steps) inputs. With the buffer handed
    over, a sequence cut in two gives what the whole sequence gives. `buffer=None` is silence.
    What would arrive after a sample's last step is dropped. `steps` (F,) are fixed: a buffer of
    the module, part of its state_dict.

    Raises InputError on steps that are not whole numbers from 0 up, and on NaN or a wrong shape
    of x or buffer.

    >>> delay = Delay(torch.tensor([0, 2]))
    >>> out, buffer = delay(torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]))
    >>> out.T.tolist()
    [[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]]
    """

    def __init__(self, steps: Tensor, batch_first: bool = False) -> None:
        super().__init__(batch_first)
        if not isinstance(steps, Tensor):
            raise InputError(f"expected steps as a tensor, got {type(steps).__name__}")
        real = steps.is_floating_point() or steps.is_complex()
        whole = steps.ndim == 1 and len(steps) > 0 and not real
        if not whole or (not steps.is_meta and int(steps.min()) < 0):
            raise InputError(
                f"expected steps as whole numbers from 0 up, one per channel, got {steps.dtype} "
                f"of shape {tuple(steps.shape)}"
            )
        self.register_buffer("steps", steps.to(torch.int64))

    @property
    def longest(self) -> int:  # type: ignore[override]
        """The largest delay in steps."""
        return int(self.steps.max())

    @property
    def shortest(self) -> int:  # type: ignore[override]
        """The smallest delay in steps."""
        return int(self.steps.min())

    def arrivals(self, history: Tensor, count: int) -> Tensor:
        """Return the delayed values, looked up in the history."""
        return _look_up(history, count, self.steps)

    def under_way(self, buffer: Tensor) -> Delays:
        """Return the steps with the buffer."""
        return Delays(self.steps, buffer)

    def extra_repr(self) -> str:
        """The number of channels and the range of their delays."""
        return f"{len(self.steps)}, steps={self.shortest}..{self.longest}"


def _look_up(history: Tensor, count: int, steps: Tensor) -> Tensor:
    """Return (count, B, F): at each of the last steps t of `history` that of t - steps[f]."""
    at = torch.arange(len(history) - count, len(history), device=history.device)
    at = at.unsqueeze(1) - steps
    return history.gather(0, at.unsqueeze(1).expand(count, *history.shape[1:]))


class LearnedDelay(Axons):
    """Learn one delay per channel by gradient descent.

        out_t[f] = sum_d k_d(p_f) x_{t-d}[f],    p = shortest + (longest - shortest) sigmoid(raw)
        k_d(p) = relu(1 - |d - p| / (1 + sigma)) over d = shortest .. longest, scaled to sum 1

    In training, a spike arrives spread over the steps around the position p of its channel: the
    spread has a gradient, a shift by whole steps has none. With sigma 0 it is the interpolation
    between two steps. `sigma` starts as `width`, by default half the range, and is a buffer of
    the module that `narrow` shrinks. After eval() every channel arrives `steps` later, p rounded,
    so that spikes remain spikes; `fixed()` returns that as a Delay. x, buffer and lengths are as
    for Delay; the buffer always has `longest` steps.

    Positions in a kernel over time, learned by a spread that shrinks: Hammouamri, Khalfaoui-Hassani
    and Masquelier, arXiv 2306.17670. The triangle of half-width 1 + sigma: Quéant, Rançon,
    Cottereau and Masquelier, DelRec, arXiv 2509.24852. Here each channel (axon) has one delay, a
    sigmoid rather than clipping keeps it in its range, and the triangle is scaled to sum 1.

    Raises InputError on an empty range or a negative width, and on NaN or a wrong shape of x or
    buffer.

    >>> delay = LearnedDelay(1, longest=3, width=0.0)
    >>> with torch.no_grad():
    ...     _ = delay.raw.zero_()  # half of the range: 1.5 steps
    >>> x = torch.tensor([[1.0], [0.0], [0.0], [0.0]])
    >>> delay(x)[0].flatten().tolist()
    [0.0, 0.5, 0.5, 0.0]
    >>> delay.eval()(x)[0].flatten().tolist(), delay.fixed()
    ([0.0, 0.0, 1.0, 0.0], Delay(1, steps=2..2))
    """

    sigma: Tensor

    def __init__(
        self,
        channels: int,
        longest: int,
        shortest: int = 0,
        width: float | None = None,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(batch_first)
        check_whole(channels=channels, longest=longest, shortest=shortest)
        if channels < 1 or not 0 <= shortest < longest:
            raise InputError(
                f"expected at least one channel and 0 <= shortest < longest whole steps, got "
                f"{channels} channels, {shortest} and {longest}"
            )
        width = (longest - shortest) / 2 if width is None else width
        if not 0 <= width < math.inf:
            raise InputError(f"expected a width of 0 steps or more, finite, got {width}")
        self.longest = longest
        self.shortest = shortest
        self.width = width
        self.raw = nn.Parameter(torch.empty(channels, device=device, dtype=dtype))
        self.register_buffer("sigma", torch.tensor(float(width), device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw positions uniformly over the range without its outer hundredths; sigma is width."""
        with torch.no_grad():
            self.sigma.fill_(self.width)
            self.raw.copy_(torch.rand_like(self.raw).logit(0.01))

    @property
    def position(self) -> Tensor:
        """The delay of each channel (F,), a real number of steps with a gradient."""
        raw = self.raw.to(torch.promote_types(self.raw.dtype, torch.float32))  # steps are exact
        return self.shortest + (self.longest - self.shortest) * raw.sigmoid()

    @property
    def steps(self) -> Tensor:  # type: ignore[override]
        """The positions rounded to whole steps."""
        return self.position.detach().round().to(torch.int64)

    def kernel(self) -> Tensor:
        """Return the share of a value that each delay passes: (longest - shortest + 1, F)."""
        delays = torch.arange(self.shortest, self.longest + 1, device=self.raw.device)
        distance = (delays.unsqueeze(1) - self.position).abs()
        share = (1 - distance / (1 + self.sigma)).relu()
        return (share / share.sum(0)).to(self.raw.dtype)

    def arrivals(self, history: Tensor, count: int) -> Tensor:
        """Return the spread values in training, else the values delayed by whole steps."""
        if not self.training:
            return _look_up(history, count, self.steps)
        out, begin = history.new_zeros(count, *history.shape[1:]), len(history) - count
        for d, share in enumerate(self.kernel(), self.shortest):
            if not arguments.can_be_asked(share) or bool(share.detach().any()):
                out = out + share * history[begin - d : begin - d + count]
        return out

    def under_way(self, buffer: Tensor) -> Delays | Spread:
        """Return the shares in training, else the whole steps, with the buffer."""
        if not self.training:
            return Delays(self.steps, buffer)
        if self.shortest < 1:
            raise InputError("a recurrent spike takes a step at least; give shortest=1 or more")
        longer = len(buffer) - self.longest
        shares = functional.pad(self.kernel(), (0, 0, self.shortest - 1, longer))  # of steps 1 to D
        return Spread(shares, buffer)

    def fixed(self) -> Delay:
        """Return the present delays in whole steps as a Delay, which does not learn."""
        return Delay(self.steps, self.batch_first)

    def extra_repr(self) -> str:
        """The number of channels, the range of their delays, and the spread."""
        return f"{len(self.raw)}, {self.shortest}..{self.longest}, sigma={float(self.sigma):g}"


def narrow(module: nn.Module, progress: float) -> None:
    """Set sigma of every learned delay in a module to width * max(0, 1 - 2 progress).

    `progress` is the share of the training that is done. In the second half of the training,
    delays are learned by interpolation between two steps.

    >>> delay = LearnedDelay(1, longest=8)
    >>> narrow(delay, 0.25)
    >>> delay.sigma
    tensor(2.)
    """
    for child in module.modules():
        if isinstance(child, LearnedDelay):
            child.sigma.fill_(child.width * max(0.0, 1 - 2 * progress))


def check_delays(
    delay: int, recurrent_delay: int, learned: bool, recurrent: bool, feedback: bool,
    bidirectional: bool,
) -> None:  # fmt: skip
    """Raise InputError on wrong delays of a SpikingRNN, UnsupportedError where it has none."""
    for name, steps, least in [("delay", delay, 0), ("recurrent_delay", recurrent_delay, 1)]:
        if isinstance(steps, bool) or not isinstance(steps, Integral) or steps < least:
            raise InputError(
                f"{name} must be the longest delay in whole steps, {least} or more, got {steps}"
            )
    if recurrent_delay > 1 and not recurrent:
        raise InputError("recurrent_delay needs a recurrence; give recurrent=True")
    delayed = delay > 0 or recurrent_delay > 1
    if learned and not delayed:
        raise InputError("there is no delay to learn; give delay= or recurrent_delay=")
    if delayed and feedback:
        raise UnsupportedError(
            "delays are not built with feedback, where every connection takes one step"
        )
    if delayed and bidirectional:
        raise UnsupportedError(
            "delays are not built with bidirectional, where half of a layer runs backward in time"
        )


_states: dict[Any, Any] = {}


def delayed_state(kind: Any) -> Any:
    """Return the type of a neuron's state with one field more: the buffer, named `delay_buffer`.

    `delay_buffer` (D, B, A) holds the last D values of A axons.

    >>> from spikern.neurons import LIF
    >>> delayed_state(LIF.state)._fields
    ('v', 'z', 'delay_buffer')
    """
    if kind not in _states:  # a layer asks when it is made, since torch.compile cannot make a type
        _states[kind] = _delayed_state(kind)
    return _states[kind]


def _delayed_state(kind: Any) -> Any:
    plain = namedtuple(f"Delayed{kind.__name__}", (*kind._fields, "delay_buffer"))  # type: ignore[misc]
    pickled = {"__reduce__": lambda self: (_unpickle_state, (kind, tuple(self)))}
    return type(plain.__name__, (plain,), {"__slots__": ()} | pickled)


def _unpickle_state(kind: Any, fields: tuple[Tensor, ...]) -> State:
    """Return the state that was pickled; its type is made at run time, so pickle cannot find it."""
    return delayed_state(kind)(*fields)
