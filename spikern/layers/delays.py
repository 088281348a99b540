"""Axons of different length: every channel arrives a number of whole steps late.

Delay lines: what is still under way when a sequence ends is part of the state.

A population whose axons take several steps, run on any engine as one whose axons take none.

    i_t = w_in x_{t-d} + w_rec z_{t-d'} + bias,    each axon with a delay d >= 0, d' >= 1 of its own

What comes from below is delayed before the engine sees it. What comes from the population itself
is known as many steps ahead as its shortest axon is long: so many steps are run at a time, and
the recurrence is an input like the other. So every engine means the same by it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import namedtuple
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from spikern._utils.errors import InputError
from spikern.engines.dispatch import run_stack
from spikern.engines.population import Population, RunResult
from spikern.events.trains import Events
from spikern.layers import layout
from spikern.layers.checks import check_input, check_lengths
from spikern.layers.layout import Given
from spikern.neurons.model import State


class Axons(nn.Module, ABC):
    """What fixed and learned delays have in common: `out, line = delay(x, line, lengths)`.

    steps    (F,) how late each channel arrives, in whole steps
    longest  the length of the line
    nearest  no channel arrives sooner
    """

    steps: Tensor
    longest: int
    nearest: int

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.batch_first = batch_first

    @abstractmethod
    def arriving(self, whole: Tensor, before: int, count: int) -> Tensor:
        """What arrives at the steps before .. before + count of whole (., B, F): (count, B, F).

        `before` is at least `longest`; no step later than count - nearest of them is read.
        """

    def forward(
        self, x: Given, line: Tensor | None = None, lengths: Tensor | None = None
    ) -> tuple[Any, Tensor]:
        """What arrives, in the layout of x, and what is under way after each sample's last step."""
        batched, until = layout.time_first(x, lengths, self.batch_first)
        if isinstance(batched, Events):
            batched = batched.to_dense()
        steps, channels = len(batched), len(self.steps)
        check_input(batched, channels, batched.dtype)
        batch = batched.shape[1]
        if until is not None:
            check_lengths(until, steps, batch)
        single = layout.is_single(x)
        shape = (self.longest, channels) if single else (self.longest, batch, channels)
        if line is None:
            line = batched.new_zeros(shape)
        if tuple(line.shape) != shape:
            raise InputError(f"expected a line of shape {shape}, got {tuple(line.shape)}")
        line = line.unsqueeze(1) if single else line
        out = self.arriving(torch.cat([line, batched]), self.longest, steps)
        if until is not None:
            running = torch.arange(steps, device=out.device).unsqueeze(1) < until
            out = torch.where(running.unsqueeze(2), out, torch.zeros_like(out))
        rest = under_way(line, batched, until)
        return layout.as_given(out, x, self.batch_first), rest.squeeze(1) if single else rest


class Delay(Axons):
    """Delay channel f by `steps[f]` whole steps: out_t[f] = x_{t - steps[f]}[f].

    `out, line = delay(x, line, lengths)` for x in any layout of a SpikingRNN. `line` (D, B, F),
    or (D, F) for x (T, F), holds the last D = max(steps) inputs, what is still under way: handed
    over, a sequence cut in two gives what the whole gives. `line=None` is silence. What arrives
    past a sample's length is lost. `steps` (F,) are fixed: a buffer, part of state_dict.

    Raises InputError on steps that are not whole numbers from 0 up, on a wrong shape, NaN or line.

    >>> delay = Delay(torch.tensor([0, 2]))
    >>> out, line = delay(torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]))
    >>> out.T.tolist()
    [[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]]
    """

    def __init__(self, steps: Tensor, batch_first: bool = False) -> None:
        super().__init__(batch_first)
        whole = steps.ndim == 1 and len(steps) > 0 and not steps.is_floating_point()
        if not whole or (not steps.is_meta and int(steps.min()) < 0):
            raise InputError(
                f"expected steps as whole numbers from 0 up, one a channel, got {steps.dtype} "
                f"of shape {tuple(steps.shape)}"
            )
        self.register_buffer("steps", steps.to(torch.int64))

    @property
    def longest(self) -> int:  # type: ignore[override]
        """The latest arrival, in steps."""
        return int(self.steps.max())

    @property
    def nearest(self) -> int:  # type: ignore[override]
        """The first arrival, in steps."""
        return int(self.steps.min())

    def arriving(self, whole: Tensor, before: int, count: int) -> Tensor:
        """The values themselves, looked up."""
        at = before + torch.arange(count, device=whole.device).unsqueeze(1) - self.steps
        return whole.gather(0, at.unsqueeze(1).expand(count, *whole.shape[1:]))

    def extra_repr(self) -> str:
        """How many channels, and how late they arrive."""
        return f"{len(self.steps)}, steps={self.nearest}..{self.longest}"


class LearnedDelay(Axons):
    """Delays that are learned, one a channel, with their gradient.

        out_t[f] = sum_d k_d(p_f) x_{t-d}[f],    p = shortest + (longest - shortest) sigmoid(raw)
        k_d(p) = relu(1 - |d - p| / (1 + sigma)) over d = shortest .. longest, scaled to sum 1

    While training, a spike arrives spread over the steps about the position p of its channel:
    that has a gradient, a shift by whole steps has none. With sigma 0 it is the interpolation
    between two steps. `sigma` starts as `width`, half the range if none is given, and is a buffer
    that `narrow` shrinks. After eval() every channel arrives `steps` late, p rounded, so that
    spikes stay spikes; `fixed()` is that as a Delay. x, line and lengths are as for Delay; the
    line has always `longest` steps.

    Positions in a kernel over time, learned by a spread that shrinks: Hammouamri, Khalfaoui-Hassani
    and Masquelier, arXiv 2306.17670. The triangle of half-width 1 + sigma: Quéant, Rançon,
    Cottereau and Masquelier, DelRec, arXiv 2509.24852. Here one delay a channel (axonal), kept in
    its range by a sigmoid rather than cut off, and the triangle is scaled to sum 1.

    Raises InputError on a range that is none, a negative width, a wrong shape, NaN or line.

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
        if channels < 1 or not 0 <= shortest < longest:
            raise InputError(
                f"expected at least one channel and 0 <= shortest < longest whole steps, got "
                f"{channels} channels, {shortest} and {longest}"
            )
        width = (longest - shortest) / 2 if width is None else width
        if not width >= 0:
            raise InputError(f"width must not be negative, got {width}")
        self.longest = longest
        self.shortest = shortest
        self.width = width
        self.raw = nn.Parameter(torch.empty(channels, device=device, dtype=dtype))
        self.register_buffer("sigma", torch.tensor(float(width), device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw positions evenly over the range, but for its outer hundredths."""
        with torch.no_grad():
            self.raw.copy_(torch.rand_like(self.raw).logit(0.01))

    @property
    def position(self) -> Tensor:
        """How late each channel arrives (F,), with its gradient."""
        return self.shortest + (self.longest - self.shortest) * self.raw.sigmoid()

    @property
    def steps(self) -> Tensor:  # type: ignore[override]
        """The positions in whole steps."""
        return self.position.detach().round().to(torch.int64)

    @property
    def nearest(self) -> int:  # type: ignore[override]
        """The first step at which anything arrives, in this mode."""
        if not self.training:
            return int(self.steps.min())
        return self.shortest + int(self.kernel().detach().any(1).nonzero()[0])

    def kernel(self) -> Tensor:
        """The share of a value that arrives after each delay: (longest - shortest + 1, F)."""
        delays = torch.arange(self.shortest, self.longest + 1, device=self.raw.device)
        away = (delays.unsqueeze(1) - self.position).abs()
        share = (1 - away / (1 + self.sigma)).relu()
        return share / share.sum(0)

    def arriving(self, whole: Tensor, before: int, count: int) -> Tensor:
        """The spread values while training, else the values themselves."""
        if not self.training:
            return self.fixed().arriving(whole, before, count)
        out = whole.new_zeros(count, *whole.shape[1:])
        for d, share in enumerate(self.kernel(), self.shortest):
            if bool(share.detach().any()):
                out = out + share * whole[before - d : before - d + count]
        return out

    def fixed(self) -> Delay:
        """The delays as they are now, in whole steps, no longer learned."""
        return Delay(self.steps, self.batch_first)

    def extra_repr(self) -> str:
        """How many channels, their range, and how far they are spread."""
        return f"{len(self.raw)}, {self.shortest}..{self.longest}, sigma={float(self.sigma):g}"


def narrow(module: nn.Module, progress: float) -> None:
    """Set sigma of every learned delay in a module: width (1 - 2 progress), and 0 from half on.

    `progress` is the share of the training that is done. From half on, delays are learned by
    interpolation between two steps.

    >>> delay = LearnedDelay(1, longest=8)
    >>> narrow(delay, 0.25)
    >>> delay.sigma
    tensor(2.)
    """
    for each in module.modules():
        if isinstance(each, LearnedDelay):
            each.sigma.fill_(each.width * max(0.0, 1 - 2 * progress))


@cache
def with_line(kind: Any) -> Any:
    """A neuron's state with one field more: `line` (D, B, A), the last D values of A axons.

    >>> from spikern.neurons import LIF
    >>> with_line(LIF.state)._fields
    ('v', 'z', 'line')
    """
    plain = namedtuple(f"Delayed{kind.__name__}", (*kind._fields, "line"))  # type: ignore[misc]
    restored = {"__reduce__": lambda self: (_restored, (kind, tuple(self)))}
    return type(plain.__name__, (plain,), {"__slots__": ()} | restored)


def _restored(kind: Any, fields: tuple[Tensor, ...]) -> State:
    """A state as it was pickled."""
    return with_line(kind)(*fields)


def under_way(line: Tensor, x: Tensor, lengths: Tensor | None) -> Tensor:
    """The last values of x (T, B, F) up to each sample's end, as many as in line (D, B, F) before.

    >>> line, x = torch.zeros(2, 1, 1), torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    >>> under_way(line, x, torch.tensor([1])).flatten()
    tensor([0., 1.])
    """
    whole = torch.cat([line, x])
    if lengths is None:
        return whole[len(x) :]
    at = torch.arange(len(line), device=x.device).unsqueeze(1) + lengths
    return whole.gather(0, at.unsqueeze(2).expand_as(line))


def run_late(
    engine: str,
    population: Population,
    state: State,
    x: Tensor,
    lengths: Tensor | None,
    line: Tensor,
    below: Axons | None,
    own: Axons | None,
) -> RunResult:
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
    return made._replace(delay_buffer=under_way(line, torch.cat(sent, 2), lengths))


def _by_steps(
    engine: str,
    population: Population,
    state: State,
    x: Tensor,
    lengths: Tensor | None,
    line: Tensor,
    own: Axons,
) -> RunResult:
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
    return RunResult(torch.cat(outs), [state], [torch.stack(spikes).sum(0)])
