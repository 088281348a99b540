"""The engine of a GPU: training kernels in Triton, derived from the neuron.

Same meaning as the reference engine, float32 on CUDA. The input of a population is one product of
matrices over all steps; its recurrence and its update are one kernel, in which a neuron that fired
adds its row of weights. Given the same currents the spikes are those of the CPU's kernels, bit for
bit. The backward pass runs EVERY steps again from the state that was kept before them.

Kept for the backward pass, for each sample and step: 8 H bytes, the current and the output of each
neuron, and 4 H bytes for each field of the state every EVERY steps.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from spikern._utils.errors import UnsupportedError
from spikern._utils.packages import require
from spikern.engines import derivation
from spikern.engines.codegen import cache, triton_kernels
from spikern.engines.population import Population, RunResult, is_transformed, recurrent_weights
from spikern.events.trains import Input, dense
from spikern.neurons.model import NeuronModel, State
from spikern.neurons.surrogate import Surrogate

OLDEST = (3, 6)
"""The oldest version of Triton: older ones launch a compiled kernel in another way."""
EVERY = 64
"""Steps between the states that are kept for the backward pass."""
WIDEST = 1024
"""Most neurons of a program of the forward pass that runs many steps; a wider population takes a
launch per step."""
TILE = 256
"""The same of the backward pass."""
GANGS = (32, 64, 128)
"""Neurons of a program of the backward pass where the programs of all neurons run at once, so that
they can wait for each other; the least that fits is the quickest."""
NARROW = 64
"""Neurons of a program of the backward pass of a wider population, and of the sums."""


def run_stack(
    populations: Sequence[Population],
    states: Sequence[State],
    x: Input,
    lengths: Tensor | None = None,
    smooth: bool = False,
    gain: Tensor | None = None,
) -> RunResult:
    """Run populations one after the other on x (T, B, F); lengths (B,).

    Raises UnsupportedError for anything but float32 on CUDA, without Triton, for a step that has
    no form in Triton, for a population below the last one that does not spike, for groups of
    neurons that sleep, for a population with recurrent delays, and in transforms of torch.func.
    """
    if gain is not None:
        raise UnsupportedError("engine='triton' has no experts; use engine='reference'")
    if any(p.delays is not None for p in populations):
        raise UnsupportedError("engine='triton' has no recurrent delays; use engine='reference'")
    weight = populations[0].w_in
    if not _takes(weight):
        raise UnsupportedError(
            f"engine='triton' runs float32 on CUDA, not {weight.dtype} on {weight.device.type}; "
            "use engine='auto'"
        )
    if not all(p.model.spikes for p in populations[:-1]):
        raise UnsupportedError(
            "engine='triton' runs a population that does not spike as the last of a stack; use "
            "spikern.engines.dispatch.run_stack, which cuts the stack there"
        )
    if is_transformed():
        raise UnsupportedError(
            "engine='triton' has no transforms of torch.func and no forward-mode derivatives; use "
            "engine='reference'"
        )
    out = dense(x)
    steps, batch, _ = out.shape
    every = EVERY if torch.is_grad_enabled() else steps
    if lengths is None:
        lengths = torch.full((batch,), steps, device=out.device)
    lengths = lengths.to(torch.int64).contiguous()
    finals, spikes = [], []
    for p, state in zip(populations, states):
        current = functional.linear(out, p.w_in, p.bias)
        w_rec = recurrent_weights(p)
        w_rec = current.new_empty(0, len(p.w_in)) if w_rec is None else w_rec
        constants, start = torch.stack(tuple(p.params)), torch.stack(tuple(state))
        name = _kernel_name(p.model, p.surrogate, smooth)
        out, final, _ = run(name, every, current, w_rec, constants, start, lengths)
        finals.append(p.model.state(*final.unbind()))
        if p.model.spikes:
            spikes.append(out.sum((0, 1)))
    return RunResult(out, finals, spikes)


def _takes(weight: Tensor) -> bool:
    """Whether the engine runs such weights; on the CPU Triton's interpreter does, for tests."""
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    return weight.dtype == torch.float32 and (
        weight.device.type == "cuda" or (interpreted and weight.device.type == "cpu")
    )


@derivation.constant
def supports(model: NeuronModel, surrogate: Surrogate) -> bool:
    """Whether Triton is installed and can express the neuron's step; a warning says why not."""
    return installed() and derivation.supports(model, surrogate, triton_kernels)


@functools.cache
def installed() -> bool:
    """Whether Triton is, in a version that the engine was run with; a warning says if not."""
    missing = "triton is not installed"
    if importlib.util.find_spec("triton") is not None:
        version = require("triton", "gpu").__version__
        if tuple(map(int, version.split(".")[:2])) >= OLDEST:
            return True
        missing = f"triton {version} is older than {'.'.join(map(str, OLDEST))}"
    warnings.warn(
        f"engine='auto' is the reference: {missing}; pip install 'spikern[gpu]'", stacklevel=2
    )
    return False


@derivation.constant
def _kernel_name(model: NeuronModel, surrogate: Surrogate, smooth: bool) -> str:
    """The name of the neuron's kernels, which are loaded if they were not."""
    require("triton", "gpu")
    return derivation.kernel_name(model, surrogate, smooth, triton_kernels)


@torch.library.custom_op("spikern::run_triton", mutates_args=())
def run(
    name: str,
    every: int,
    current: Tensor,
    w_rec: Tensor,
    params: Tensor,
    start: Tensor,
    lengths: Tensor,
) -> list[Tensor]:
    """The output (T, B, H), the final state (S, B, H) and the states every `every` steps.

    current (T, B, H), w_rec (H, H) as (to, from) or (0, H), params (P, H), start (S, B, H).
    """
    out, final = torch.empty_like(current), torch.empty_like(start)
    kept = start.new_empty(-(-len(current) // every), *start.shape)
    kept[0] = start
    nothing, states = current.new_empty(0), [*kept, final]
    forward = _Forward(name, every, current, w_rec, params, lengths, out, nothing)
    with torch.cuda.device_of(current):  # type: ignore[no-untyped-call]  # where Triton launches
        for k, (first, last) in enumerate(_segments(len(current), every)):
            forward.run(first, last, states[k], states[k + 1])
    return [out, final, kept]


@run.register_fake
def _(name: str, every: int, current: Tensor, *others: Tensor) -> list[Tensor]:
    start = others[2]
    count = (current.shape[0] + every - 1) // every
    return [
        torch.empty_like(current), torch.empty_like(start), start.new_empty(count, *start.shape),
    ]  # fmt: skip


def _segments(steps: int, every: int) -> Iterator[tuple[int, int]]:
    for first in range(0, steps, every):
        yield first, min(steps, first + every)


def _launcher(
    kernel: Any, grid: tuple[int, int], constants: tuple[Any, ...], **options: Any
) -> Any:
    """A function of a kernel's arguments that launches it, looking at them only the first time.

    Triton's own launch asks at every call what kind each argument is, which takes longer than a
    step of a small network. Here they are of one kind in all calls.
    """
    compiled: Any = None

    def launch(*args: Any) -> None:
        nonlocal compiled
        if compiled is None:  # the interpreter never returns one
            compiled = kernel[grid](*args, *constants, **options)
        else:
            compiled[(*grid, 1)](*args, *constants)

    return launch


class _Forward:
    """The forward kernel with what all its launches have in common.

    With a tape it writes there what the backward pass needs of each step, otherwise the output.
    """

    def __init__(
        self, name: str, every: int, current: Tensor, w_rec: Tensor, params: Tensor,
        lengths: Tensor, out: Tensor, tape: Tensor,
    ) -> None:  # fmt: skip
        _, batch, hidden = current.shape
        recurrent, width = len(w_rec) > 0, _width(hidden, WIDEST)
        blocks = -(-hidden // width)
        listed = torch.empty((2, batch, blocks, width), dtype=torch.int32, device=current.device)
        counts = listed.new_empty(2, batch, blocks)
        values = torch.empty_like(listed, dtype=torch.float32)
        rows = w_rec.t().contiguous()
        self.read = current.contiguous(), rows, params.contiguous(), lengths
        self.written = listed, values, counts, out, tape
        self.sizes = every, batch, hidden
        self.stepwise = blocks > 1 and recurrent
        self.launch = _launcher(
            cache.module(name).forward, (batch, blocks), (width, recurrent, tape.numel() > 0),
            num_warps=row_warps(width), enable_fp_fusion=False,
        )  # fmt: skip

    def run(self, first: int, last: int, before: Tensor, after: Tensor) -> None:
        """Run the steps first to last - 1 from the state `before`."""
        launches = [(first, last)]
        if self.stepwise:
            launches = [(first, first), *((t, t + 1) for t in range(first, last))]
        for begin, end in launches:
            self.launch(*self.read, before, after, *self.written, begin, end, first, *self.sizes)
            before = after


@torch.library.custom_op("spikern::run_triton_backward", mutates_args=())
def _run_backward(
    name: str,
    every: int,
    current: Tensor,
    w_rec: Tensor,
    params: Tensor,
    lengths: Tensor,
    out: Tensor,
    kept: Tensor,
    d_out: Tensor,
    d_final: Tensor,
) -> list[Tensor]:
    """The gradients of current, w_rec, params and start."""
    module = cache.module(name)
    (steps, batch, hidden), recurrent = current.shape, len(w_rec) > 0
    every = min(every, steps)
    tape = current.new_empty(max(module.TAPED, 1), every, batch, hidden)
    forward = _Forward(name, every, current, w_rec, params, lengths, out, tape)
    pulled = current.new_empty(len(d_final), every, batch, hidden)
    d_current, scratch = torch.empty_like(current), torch.empty_like(kept[0])
    rows = -(-batch // triton_kernels.SAMPLES)
    narrow = _width(hidden, NARROW)
    width, together, stepwise = tiling(rows, hidden, recurrent, _at_once(current.device))
    d_params = params.new_zeros(len(params), rows, hidden)
    d_out, before, d_start = d_out.contiguous(), d_final.contiguous(), torch.empty_like(d_final)
    params, w_rec = params.contiguous(), w_rec.contiguous()
    back = _launcher(
        module.backward, (rows, -(-hidden // width)),
        (width, depth(width), recurrent, together),
        num_warps=tile_warps(width), **({"launch_cooperative_grid": True} if together else {}),
    )  # fmt: skip
    done = torch.zeros(rows, dtype=torch.int32, device=current.device)
    sums = _launcher(
        module.sums, (rows, -(-hidden // narrow)), (narrow,), num_warps=tile_warps(narrow)
    )
    with torch.cuda.device_of(current):  # type: ignore[no-untyped-call]
        for k, (first, last) in reversed([*enumerate(_segments(steps, every))]):
            forward.run(first, last, kept[k], scratch)
            launches = [(first, last)]
            if stepwise:
                launches = [(t, t + 1) for t in range(last - 1, first - 1, -1)]
            for begin, end in launches:
                back(
                    w_rec, params, lengths, tape, d_out, before, d_start, d_current, pulled, done,
                    begin, end, first, every, steps, batch, hidden,
                )  # fmt: skip
                before = d_start
            if module.TRAINED:
                sums(
                    params, lengths, tape, d_out, pulled, d_params,
                    first, last, first, every, batch, hidden,
                )  # fmt: skip
    d_rec = torch.empty_like(w_rec)
    if recurrent:
        with torch.autocast(current.device.type, enabled=False):
            d_start[module.Z] += d_current[0] @ w_rec
            torch.mm(d_current[0].t(), kept[0, module.Z], out=d_rec)
            d_rec += d_current[1:].flatten(0, 1).t() @ out[:-1].flatten(0, 1)
    return [d_current, d_rec, d_params.sum(1), d_start]


@_run_backward.register_fake
def _(name: str, every: int, *tensors: Tensor) -> list[Tensor]:
    current, w_rec, params, *_, d_final = tensors
    return [torch.empty_like(t) for t in (current, w_rec, params, d_final)]


def _save(ctx: Any, inputs: tuple[Any, ...], output: Sequence[Tensor]) -> None:
    ctx.name, ctx.every, current, w_rec, params, _, lengths = inputs
    out, _, kept = output
    ctx.save_for_backward(current, w_rec, params, lengths, out, kept)


def _differentiate(ctx: Any, gradients: Sequence[Tensor | None]) -> tuple[Any, ...]:
    *saved, out, kept = ctx.saved_tensors
    d_out, d_final, _ = gradients
    d_out = torch.zeros_like(out) if d_out is None else d_out
    d_final = torch.zeros_like(kept[0]) if d_final is None else d_final
    found = _run_backward(ctx.name, ctx.every, *saved, out, kept, d_out, d_final)
    return None, None, *found, None


run.register_autograd(_differentiate, setup_context=_save)


def _width(hidden: int, widest: int) -> int:
    """Neurons of a program: a power of two, as Triton's tiles have."""
    return min(widest, max(16, 1 << (hidden - 1).bit_length()))


def _at_once(device: torch.device) -> int:
    """Programs that certainly run at once, so that they can wait for each other."""
    if device.type != "cuda":  # the interpreter runs one after the other
        return 0
    return torch.cuda.get_device_properties(device).multi_processor_count


class Tiling(NamedTuple):
    """Neurons of a program of the backward pass, and how programs wait for each other.

    together  after every step, all running at once
    stepwise  at the end of a launch, which is one step
    """

    width: int
    together: bool
    stepwise: bool


def tiling(rows: int, hidden: int, recurrent: bool, at_once: int) -> Tiling:
    """How neurons are tiled for `rows` samples, where `at_once` programs run at once.

    >>> tiling(16, 256, True, 132), tiling(128, 256, True, 132)
    (Tiling(width=32, together=True, stepwise=False), \
Tiling(width=256, together=False, stepwise=False))
    >>> tiling(64, 1024, True, 132)
    Tiling(width=64, together=False, stepwise=True)
    """
    if recurrent:
        for width in GANGS:
            if width < hidden and rows * -(-hidden // width) <= at_once:
                return Tiling(width, True, False)
    stepwise = recurrent and hidden > TILE
    return Tiling(_width(hidden, NARROW if stepwise else TILE), False, stepwise)


def depth(width: int) -> int:
    """Rows of weights of a tile of the backward pass; more of a wide one leave the registers."""
    return 16 if width > NARROW else 64


def row_warps(width: int) -> int:
    """Warps of a program of one sample: two neurons per thread."""
    return max(1, width // 64)


def tile_warps(width: int) -> int:
    """Warps of a program of 16 samples: up to 16 entries per thread, which its registers hold."""
    return max(4, width // 32)
