"""The engine of a GPU: is it right, and what does a training step take beside its rivals?

python experiments/bench/gpu.py               # on a GPU, in under five minutes
python experiments/bench/gpu.py --no-measure  # only the tables of docs/gpu.md again
python experiments/bench/gpu.py --interpret   # a dry run without one, whose times mean nothing

Right is: every spike of LIF, ALIF and CubaLIF equals that of the CPU's kernels, given one current
and weights of any value; every neuron's outputs, states and gradients are the reference's where
sums are exact; and compute-sanitizer, where it is installed, finds nothing. Then milliseconds and
memory of a training step: projection, recurrence, loss and backward pass. What the time does not
suffice for, or what is not installed, is named in the results.
"""

from __future__ import annotations

import gc
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor, nn

from spikern._utils.phases import say
from spikern._utils.program import errors_in_one_line

HERE = Path(__file__).parent
RESULTS = HERE / "results_gpu.json"
PAGE = HERE.parent.parent / "docs" / "gpu.md"
SPIKES = 10**9
"""How many spikes, or silences, are compared with the CPU's."""
RATE = 0.05
"""Spikes per neuron and step of the networks that are timed."""
Call = Callable[[], object]


@dataclass(frozen=True)
class Shape:
    """The sizes of a training step, and whether the slow rivals are timed on it."""

    steps: int
    batch: int
    features: int
    hidden: int
    slow: bool = False


SHAPES = (
    Shape(784, 256, 1, 256, slow=True),
    Shape(250, 64, 140, 256, slow=True),
    Shape(784, 2048, 1, 256),
    Shape(250, 64, 140, 512),
    Shape(250, 64, 140, 1024),
)


@dataclass(frozen=True)
class Config:
    """What is done."""

    measure: bool = True
    """Check and measure; without, make the tables from results_gpu.json."""
    interpret: bool = False
    """Run in Triton's interpreter on the CPU, with tiny sizes."""
    seconds: float = 280.0
    """Time after which nothing new is begun."""
    out: Path | None = None
    """Another file for the results than results_gpu.json; the page stays as it is then."""
    case: bool = False
    """Only the small training step that compute-sanitizer looks at."""


def main(cfg: Config) -> None:
    """Check, measure, write the results and fill in the page; a dry run writes nothing."""
    if cfg.interpret:
        os.environ["TRITON_INTERPRET"] = "1"  # before Triton is imported
    elif cfg.measure and not torch.cuda.is_available():
        sys.exit("gpu.py: torch finds no GPU; --interpret is a dry run without one")
    if cfg.case:
        small_case("cpu" if cfg.interpret else "cuda")
        return
    from spikern._utils import atomic, json_file
    from spikern.report import filled

    if cfg.measure:
        results = measured(cfg)
        if cfg.out is not None:
            json_file.write(cfg.out, results)
        elif not cfg.interpret:
            json_file.write(RESULTS, results)
    if cfg.out is None and not cfg.interpret:
        atomic.write(PAGE, filled(PAGE.read_text(), places(json_file.read(RESULTS))))


def measured(cfg: Config) -> dict[str, Any]:
    """The results of all checks and measurements."""
    from spikern._utils.provenance import provenance, version

    device = "cpu" if cfg.interpret else "cuda"
    started = time.perf_counter()
    shapes = [Shape(6, 3, 2, 20, slow=True)] if cfg.interpret else list(SHAPES)
    results: dict[str, Any] = {
        "gpu": "none: a dry run" if cfg.interpret else torch.cuda.get_device_name(),
        "triton": version("triton"),
        "checks": {
            "spikes": compare_spikes(device, 10**3 if cfg.interpret else SPIKES),
            "neurons": compare_neurons(device),
        },
        "rows": [],
    }

    def measure(pairs: Iterator[tuple[str, Callable[[], Call]]], shape: Shape) -> None:
        for name, make in pairs:
            left = cfg.seconds - (time.perf_counter() - started)
            row = {**vars(shape), "what": name} | timed(make, device, left)
            say(" ".join(f"{key}={value}" for key, value in row.items()))
            results["rows"].append(row)

    for shape in shapes:
        measure(quick_rivals(shape, *network(shape, device)), shape)
    for shape in (s for s in shapes if s.slow):
        measure(slow_rivals(shape, *network(shape, device)), shape)
    results["checks"]["sanitizer"] = "a GPU is needed" if cfg.interpret else sanitize()
    return results | {"provenance": provenance(time.perf_counter() - started, 1)}


# Is it right?


def compare_spikes(device: str, wanted: int) -> dict[str, Any]:
    """Spikes that differ from the CPU's, given the same currents, weights and constants.

    A layer that moves to the GPU makes the constants there of what is trained, by an exponential
    that can differ in the last bit; here those of the CPU are moved.
    """
    from spikern import SpikingRNN
    from spikern.engines import triton
    from spikern.neurons.model import zero_state

    steps, batch, hidden = (5, 2, 20) if device == "cpu" else (200, 512, 256)
    found = {}
    for name in ("LIF", "ALIF", "CubaLIF"):
        torch.manual_seed(0)
        fast = SpikingRNN(name, hidden, hidden, bias=False, engine="fused")
        with torch.no_grad():
            fast.weight_ih_l0.copy_(torch.eye(hidden))  # a product with it is exact
            fast.weight_hh_l0.mul_(5)
        (own,) = fast.populations()
        moved = own._replace(
            params=type(own.params)(*(value.detach().to(device) for value in own.params)),
            w_in=own.w_in.detach().to(device),
            w_rec=None if own.w_rec is None else own.w_rec.detach().to(device),
        )
        compared = wrong = fired = 0
        while compared < wanted / 3:
            x = 8 * torch.randn(steps, batch, hidden) + 2
            with torch.no_grad():
                state = zero_state(own.model, (batch, hidden), moved.w_in)
                expected = fast(x)[0]
                actual = triton.run_stack([moved], [state], x.to(device)).out.cpu()
            compared += expected.numel()
            wrong += int((actual != expected).sum())
            fired += int(expected.sum())
        found[name] = {"compared": compared, "wrong": wrong, "rate": fired / compared}
        say(f"{name}: {wrong} of {compared} spikes differ from the CPU's")
    return found


def compare_neurons(device: str) -> dict[str, str]:
    """What differs from the reference on the same device, by neuron; empty if nothing does."""
    from spikern import NEURONS, Readout, SpikingRNN
    from spikern.testing import difference, dyadic, gradient_difference, with_engine

    steps, batch = (3, 2) if device == "cpu" else (40, 20)
    found = {}
    for name, model in NEURONS.items():
        torch.manual_seed(0)
        made = SpikingRNN(name, 6, 33) if model.spikes else Readout(6, 33, model)
        layer = dyadic(made).to(device)
        layer.engine_asked = "triton"
        x = (torch.rand(steps, batch, 6) < 0.3).float().to(device)
        lengths = torch.randint(1, steps + 1, (batch,)).to(device)
        outputs, after = layer.unroll(x, None, lengths)
        found[name] = difference(layer, x, outputs, after, lengths) or gradient_difference(
            with_engine(layer, "reference"), layer, x, lengths
        )
        say(f"{name}: {found[name] or 'as the reference'}")
    return found


def small_case(device: str) -> None:
    """A training step that crosses a segment, and one of several blocks of neurons."""
    from spikern import SpikingRNN
    from spikern.engines import triton

    for hidden in (40, 300):
        layer = SpikingRNN("ALIF", 3, hidden, engine="triton", device=device)
        out, _ = layer(torch.randn(triton.EVERY + 3, 5, 3, device=device))
        out.sum().backward()
    torch.cuda.synchronize()


def sanitize() -> str:
    """What compute-sanitizer says of the small case, by its last line."""
    program = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not Path(program).exists():
        return "compute-sanitizer is not installed"
    lines = []
    for tool in ("memcheck", "racecheck"):
        command = [program, "--tool", tool, sys.executable, __file__, "--case"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            lines.append(f"{tool}: {(done.stdout.splitlines() or ['nothing'])[-1]}")
        except subprocess.TimeoutExpired:
            lines.append(f"{tool}: not done in 60 s")
        say(lines[-1])
    return "; ".join(lines)


# What does it take?


def network(shape: Shape, device: str) -> tuple[Any, Tensor]:
    """ALIF that fires at RATE, calibrated on the CPU on a few samples, and its input."""
    from spikern import SpikingRNN
    from spikern.train import calibrate

    torch.manual_seed(0)
    x = torch.rand(shape.steps, shape.batch, shape.features)
    x = x if shape.features == 1 else (x < 0.2).float()
    layer = SpikingRNN("ALIF", shape.features, shape.hidden)
    calibrate(layer, x[:, :8], rate=RATE)
    return layer, x.to(device)


def on_engine(layer: Any, engine: str, x: Tensor) -> Any:
    """A copy of a layer where its input is."""
    from spikern.testing import with_engine

    return with_engine(layer, engine).to(x.device)


def quick_rivals(shape: Shape, layer: Any, x: Tensor) -> Iterator[tuple[str, Callable[[], Call]]]:
    """Each rival's name, and a function that makes its training step."""
    yield "triton", lambda: training_step(on_engine(layer, "triton", x), x)
    budget = sum(p.numel() for p in layer.parameters())
    for name in ("LSTM", "GRU"):
        smaller = width_within(budget, name, shape.features)
        for label, width in ((name, shape.hidden), (f"{name} of {smaller}, equal size", smaller)):
            yield (
                f"cuDNN {label}",
                lambda name=name, width=width: training_step(
                    getattr(nn, name)(shape.features, width).to(x.device), x
                ),
            )
    if x.is_cuda:
        yield "triton in a graph", lambda: graphed(training_step(on_engine(layer, "triton", x), x))


def width_within(budget: int, name: str, features: int) -> int:
    """The largest width of torch's LSTM or GRU that has no more parameters than the budget."""
    gates = {"LSTM": 4, "GRU": 3}[name]
    width = 1
    while gates * (width + 1) * (features + width + 1 + 2) <= budget:
        width += 1
    return width


def slow_rivals(shape: Shape, layer: Any, x: Tensor) -> Iterator[tuple[str, Callable[[], Call]]]:
    """The same of those that take long, or are long in compiling."""
    reference = on_engine(layer, "reference", x)
    compiled = on_engine(layer, "reference", x)
    compiled.neurons = tuple(replace(n, step=torch.compile(n.step)) for n in compiled.neurons)
    yield "reference", lambda: training_step(reference, x)
    if x.is_cuda:
        yield "compiled step in a graph", lambda: graphed(training_step(compiled, x))
        yield "reference in a graph", lambda: graphed(training_step(reference, x))
    yield "snnTorch RLeaky", lambda: snntorch_step(shape, x)
    for precision in ("float32", "tensorfloat32"):
        yield (
            f"JAX scan, products in {precision}",
            lambda precision=precision: jax_step(shape, x, precision),
        )


def training_step(module: nn.Module, x: Tensor) -> Call:
    """Forward and backward of a layer, without a readout; all of its parameters have gradients."""

    def call() -> None:
        module.zero_grad(set_to_none=True)
        module(x)[0].square().mean().backward()

    return call


def graphed(call: Call) -> Call:
    """The same as one CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def snntorch_step(shape: Shape, x: Tensor) -> Call:
    """snnTorch's recurrent leaky neuron, looped as its documentation does."""
    import snntorch

    class Leaky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Linear(shape.features, shape.hidden)
            self.cell = snntorch.RLeaky(beta=0.95, linear_features=shape.hidden)

        def forward(self, x: Tensor) -> tuple[Tensor]:
            z, v = (value.to(x.device) for value in self.cell.reset_mem())
            out = []
            for i in self.project(x):
                z, v = self.cell(i, z, v)
                out.append(z)
            return (torch.stack(out),)

    return training_step(Leaky().to(x.device), x)


def jax_step(shape: Shape, x: Tensor, precision: str) -> Call:
    """ALIF as a scan in JAX, with the triangular surrogate."""
    import jax
    import jax.numpy as jnp

    @jax.custom_jvp
    def fire(u: Any) -> Any:
        return (u > 0).astype(u.dtype)

    @fire.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        return fire(primals[0]), 0.7 * jnp.maximum(1 - jnp.abs(primals[0]), 0) * tangents[0]

    decay_v, decay_a, scale = 0.95, 0.99, 0.1

    def loss(weights: Any, x: Any) -> Any:
        w_in, w_rec, bias = weights

        def step(state: Any, i: Any) -> Any:
            v, a, z = state
            a = decay_a * a + (1 - decay_a) * z
            v = decay_v * v + (1 - decay_v) * (i + z @ w_rec) - z
            z = fire(v - (1 + scale * a))
            return (v, a, z), z

        zero = jnp.zeros((shape.batch, shape.hidden))
        _, out = jax.lax.scan(step, (zero,) * 3, x @ w_in + bias)
        return (out**2).mean()

    key = jax.random.split(jax.random.PRNGKey(0))
    weights = (
        jax.random.normal(key[0], (shape.features, shape.hidden)),
        0.1 * jax.random.normal(key[1], (shape.hidden, shape.hidden)),
        jnp.ones(shape.hidden),
    )
    on_device = jnp.asarray(x.cpu().numpy())
    with jax.default_matmul_precision(precision):
        gradient = jax.jit(jax.grad(loss)).lower(weights, on_device).compile()
    return lambda: jax.block_until_ready(gradient(weights, on_device))


def timed(make: Callable[[], Call], device: str, left: float) -> dict[str, Any]:
    """Milliseconds (median), their number, and MiB at the peak; or why there are none."""
    if left <= 0:
        return {"note": "no time was left"}
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        call = make()
        for _ in range(2):
            call()
        samples = []
        until = time.perf_counter() + 1.0
        while len(samples) < 3 or (len(samples) < 50 and time.perf_counter() < until):
            samples.append(milliseconds(call, device))
    except ModuleNotFoundError as error:
        return {"note": f"{error.name} is not installed"}
    except Exception as error:  # of a rival, or of memory: the others are measured
        return {"note": f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"}
    row = {"ms": round(statistics.median(samples), 3), "samples": len(samples)}
    if device == "cuda":
        row["mib"] = round(torch.cuda.max_memory_allocated() / 2**20)
    return row


def milliseconds(call: Call, device: str) -> float:
    """The time of one call."""
    if device == "cpu":
        began = time.perf_counter()
        call()
        return 1000 * (time.perf_counter() - began)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    call()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end))


# The page


def places(results: dict[str, Any]) -> dict[str, str]:
    """What is filled in on the page, by place."""
    checks, own = results["checks"], results["provenance"]
    spikes, neurons = checks["spikes"], checks["neurons"]
    compared, wrong = (sum(each[k] for each in spikes.values()) for k in ("compared", "wrong"))
    different = [f"{name}: {said}" for name, said in neurons.items() if said]
    agreed = "; ".join(different) or f"all {len(neurons)} neurons agree"
    return {
        "gpu machine": (
            f"{results['gpu']}, torch {own['torch']}, Triton {results['triton']}; "
            f"{own['date'][:10]}, commit {own['commit']}."
        ),
        "gpu checks": (
            f"Of {compared:,} spikes and silences of {', '.join(spikes)}, {wrong:,} differ from "
            f"the CPU's. Outputs, states and gradients where sums are exact: {agreed}. "
            f"compute-sanitizer: {' '.join(checks['sanitizer'].replace('=', '').split())}."
        ),
        "gpu times": times(results["rows"]),
    }


def times(rows: list[dict[str, Any]]) -> str:
    """Milliseconds and memory of a training step, and how many times those of the kernels."""
    from spikern.report import markdown
    from spikern.report.numbers import significant

    shape = itemgetter("steps", "batch", "features", "hidden")
    own = {shape(row): row["ms"] for row in rows if row["what"] == "triton" and "ms" in row}
    lines = []
    for row in rows:
        sizes = [f"{size:,}" for size in shape(row)]
        if "ms" in row:
            found = [significant(row["ms"]), significant(row["ms"] / own[shape(row)])]
            lines.append([*sizes, row["what"], *found, f"{row.get('mib', 0):,}"])
        else:
            lines.append([*sizes, row["what"], row["note"], "", ""])
    head = ["steps", "batch", "features", "hidden", "what", "ms", "times the kernels'", "MiB"]
    return markdown.table(head, lines, left=(4,))


if __name__ == "__main__":
    with errors_in_one_line():
        main(tyro.cli(Config))
