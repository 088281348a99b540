"""The peers of the benchmark: spikern's engines, snnTorch, torch and ONNX Runtime.

Every peer is one recurrent stack and one readout, with a call for each kind of measurement that it
supports.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from spikern._utils.seeds import seeded
from spikern.interop.onnx import session
from spikern.layers.network import Network
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.layers.streaming import compile_stream
from spikern.timing.workloads import Workload
from spikern.train import calibration

SEED = 0
FUSED, REFERENCE, STREAM = "spikern fused", "spikern reference", "spikern stream"
SNNTORCH = "snnTorch RLeaky"
DENSE = {"nn.RNN": "RNN", "nn.GRU": "GRU", "nn.LSTM": "LSTM"}
RUNTIME, RUNTIME_EQUAL = "ONNX Runtime LSTM", "ONNX Runtime LSTM, equal parameters"
TRAINED = (FUSED, REFERENCE, SNNTORCH, *DENSE)
"""The peers that train, and whose memory is measured."""
BETA = 0.95
"""The membrane decay of snnTorch, about 20 steps, as that of ALIF."""
CALIBRATED = 8
"""Samples on which the rate of snnTorch is calibrated."""
Call = Callable[[], object]


class Peer(NamedTuple):
    """One network that is timed.

    rate    the firing rate asked for; None where it changes nothing
    rates   the firing rates measured, by layer
    calls   what is timed, by kind: "train", "infer" or "step"
    """

    name: str
    rate: float | None
    rates: tuple[float, ...]
    calls: dict[str, Call]


def not_measured() -> dict[str, str]:
    """The peers whose packages are missing, with what to install."""
    if importlib.util.find_spec("snntorch") is not None:
        return {}
    return {SNNTORCH: "snntorch is not installed; pip install 'spikern[snntorch]'"}


def contestants(work: Workload, rates: tuple[float, ...], threads: int) -> Iterator[Peer]:
    """All peers that can be timed on a workload, the spiking ones once per firing rate."""
    x, _ = work.data()
    missing = not_measured()
    for rate in rates:
        network = spiking_network(work, x, rate)
        measured = measured_rates(network, x)
        for name in (FUSED, REFERENCE):
            yield Peer(name, rate, measured, torch_calls(sharing_weights(network, name), work))
        yield Peer(STREAM, rate, measured, stream_calls(network, work))
        if SNNTORCH not in missing:
            leaky = Leaky(work)
            yield Peer(SNNTORCH, rate, leaky.calibrate(x, rate), torch_calls(leaky, work))
    for name, kind in DENSE.items():
        yield Peer(name, None, (), torch_calls(Dense(kind, work), work))
    equal = lstm_of(parameters(network), work)
    for name, hidden in ((RUNTIME, work.hidden), (RUNTIME_EQUAL, equal)):
        yield Peer(name, None, (), onnx_calls(Dense("LSTM", work, hidden), work, threads))


def model_of(name: str, work: Workload, x: Tensor, rate: float) -> nn.Module:
    """The model of a peer that trains; ours fire at `rate` on x."""
    if name in DENSE:
        return Dense(DENSE[name], work)
    if name == SNNTORCH:
        return Leaky(work)
    return sharing_weights(spiking_network(work, x, rate), name)


def measured_rates(network: Network, x: Tensor) -> tuple[float, ...]:
    """Spikes per neuron and step, by layer."""
    with torch.no_grad():
        return tuple(calibration.firing_rates(network.run(x)[0].spikes, x))


def torch_calls(model: nn.Module, work: Workload) -> dict[str, Call]:
    """What can be timed of a torch module."""
    x, y = work.data()
    return {
        "train": train_step(model, x, y),
        "infer": inference(model, x),
        "step": stepping(model, x, flat=not isinstance(model, Network)),
    }


def stream_calls(network: Network, work: Workload) -> dict[str, Call]:
    """What can be timed of the stream engine; it does not train."""
    x: Any = work.data()[0].numpy()
    stream = compile_stream(network)
    pieces = [np.ascontiguousarray(piece) for piece in x[:, 0]]

    def steps() -> None:
        state = stream.zero_state()
        for piece in pieces:
            stream.step(piece, state)

    return {"infer": lambda: stream.run(x).out.mean(0), "step": steps}


def train_step(model: nn.Module, x: Tensor, y: Tensor) -> Call:
    """A whole training step: projection, recurrence, readout, loss, backward, Adam.

    The learning rate is zero: Adam does its work, and the weights, hence the rates, stay.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0)

    def call() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x)[0], y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return call


def inference(model: nn.Module, x: Tensor) -> Call:
    """The logits of a whole batch."""

    def call() -> None:
        with torch.inference_mode():
            model(x)

    return call


def stepping(model: nn.Module, x: Tensor, flat: bool = True) -> Call:
    """All steps of x, one call each, the state carried; `flat` if the state is many arguments."""
    pieces = list(torch.unbind(x.unsqueeze(1)))

    def call() -> None:
        with torch.inference_mode():
            _, *state = model(pieces[0])
            for piece in pieces[1:]:
                _, *state = model(piece, *state) if flat else model(piece, state[0])

    return call


def spiking_network(work: Workload, x: Tensor, rate: float) -> Network:
    """The work's neuron without bias, calibrated to fire at `rate` on x, and a leaky readout."""
    with seeded(SEED):
        body = SpikingRNN(
            work.neuron, work.features, work.hidden, work.layers, bias=False,
            recurrent=work.connectivity if work.connectivity < 1.0 else True,
            input_power=work.input_power,
        )  # fmt: skip
        readout = Readout(work.hidden, work.classes)
    calibration.calibrate(body, x, rate=rate)
    return Network(body, readout, "mean")


def sharing_weights(network: Network, name: str) -> Network:
    """The same network on the engine of a peer of ours; the weights are shared."""
    engine = name.removeprefix("spikern ")
    stacks: list[Any] = []
    for stack in (network.body, network.readout):
        assert isinstance(stack, SpikingRNN)
        other = object.__new__(type(stack))
        other.__dict__ = stack.__dict__ | {"engine_asked": engine}
        stacks.append(other)
    return Network(stacks[0], stacks[1], network.answer)


class Dense(nn.Module):
    """torch's RNN, GRU or LSTM, and a linear readout of the mean of its last layer."""

    def __init__(self, kind: str, work: Workload, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or work.hidden
        with seeded(SEED):
            self.rnn = getattr(nn, kind)(work.features, hidden, work.layers)
            self.readout = nn.Linear(hidden, work.classes)

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, C) and the state: h, and c where there is one."""
        before: Any = (state if len(state) > 1 else state[0]) if state else None
        out, after = self.rnn(x, before)
        return self.readout(out.mean(0)), *(after if isinstance(after, tuple) else (after,))


class Leaky(nn.Module):
    """Layers of snnTorch's RLeaky, looped over time as its documentation does."""

    def __init__(self, work: Workload) -> None:
        super().__init__()
        snntorch: Any = importlib.import_module("snntorch")
        sizes = [work.features] + work.layers * [work.hidden]
        with seeded(SEED):
            self.inputs = nn.ModuleList(map(nn.Linear, sizes, sizes[1:]))
            self.cells = nn.ModuleList(
                snntorch.RLeaky(beta=BETA, linear_features=work.hidden) for _ in range(work.layers)
            )
            self.readout = nn.Linear(work.hidden, work.classes)
            for name, weight in self.cells.named_parameters():
                if name.endswith("recurrent.weight"):
                    mask_recurrence(weight, work.connectivity)

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, C) and the state: spikes and membrane potential of each layer."""
        z, after = x, []
        for k in range(len(self.cells)):
            z, *last = self.layer(k, z, *state[2 * k : 2 * k + 2])
            after += last
        return self.readout(z.mean(0)), *after

    def layer(self, k: int, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """The spikes (T, B, H) of layer k, and its state."""
        cell: Any = self.cells[k]
        z, v = state or cell.reset_mem()
        current = self.inputs[k](x)
        out = []
        for i in current:
            z, v = cell(i, z, v)
            out.append(z)
        return torch.stack(out), z, v

    def calibrate(self, x: Tensor, rate: float) -> tuple[float, ...]:
        """Scale each layer's input so that it fires at `rate`; returns the rates on all of x."""
        few, rates = x[:, :CALIBRATED], []
        with torch.no_grad():
            for k, linear in enumerate(self.inputs):
                weights = [p.clone() for p in linear.parameters()]

                def at(log_gain: float, k: int = k, z: Tensor = few, kept: Any = weights) -> float:
                    for p, before in zip(self.inputs[k].parameters(), kept):
                        p.copy_(before * 2.0**log_gain)
                    return float(self.layer(k, z)[0].mean())

                calibration.bisect(at, rate, end=8.0, rounds=12)
                few, x = self.layer(k, few)[0], self.layer(k, x)[0]
                rates.append(float(x.mean()))
        return tuple(rates)


def mask_recurrence(weight: Tensor, connectivity: float) -> None:
    """Keep a random share of a recurrent matrix; the rest stays zero and gets no gradient."""
    if connectivity < 1.0:
        mask = (torch.rand(weight.shape) < connectivity).to(weight.dtype)
        with torch.no_grad():
            weight.mul_(mask)
        weight.register_hook(lambda gradient: gradient * mask)  # type: ignore[no-untyped-call]


def parameters(module: nn.Module) -> int:
    """The number of trainable parameters that are not zero, so without masked ones."""
    return sum(int(p.count_nonzero()) for p in module.parameters() if p.requires_grad)


def lstm_of(count: int, work: Workload) -> int:
    """The hidden size of the LSTM whose parameter count is nearest to `count`."""

    def size(hidden: int) -> int:
        layers = [work.features] + (work.layers - 1) * [hidden]
        return sum(4 * hidden * (f + hidden + 2) for f in layers) + work.classes * (hidden + 1)

    return min(range(1, work.hidden + 1), key=lambda hidden: abs(size(hidden) - count))


def onnx_calls(model: Dense, work: Workload, threads: int) -> dict[str, Callable[[], object]]:
    """Calls of ONNX Runtime: a whole batch, or its steps with the state carried.

    Inputs, state and outputs are bound, which is faster than passing arrays: every step reads the
    state from one pair of buffers and writes it to the other.
    """
    from onnxruntime import OrtValue

    value = OrtValue.ortvalue_from_numpy
    x, _ = work.data()
    stepwise = "step" in work.kinds
    first = x[:1] if stepwise else x
    hidden = torch.zeros(work.layers, work.batch, model.rnn.hidden_size)
    runtime = onnx_session(model.eval(), (first, hidden, hidden), threads)
    input_buffer = value(first.numpy().copy())
    y = value(torch.zeros(work.batch, work.classes).numpy())
    one, other = ([value(hidden.numpy().copy()) for _ in "hc"] for _ in range(2))

    def bind(before: list[Any], after: list[Any]) -> Any:
        binding = runtime.io_binding()
        for name, buffer in zip(("x", "h", "c"), (input_buffer, *before)):
            binding.bind_ortvalue_input(name, buffer)
        for name, buffer in zip(("y", "h_after", "c_after"), (y, *after)):
            binding.bind_ortvalue_output(name, buffer)
        return binding

    forth, back = bind(one, other), bind(other, one)
    pieces = [piece.numpy().copy() for piece in torch.unbind(x.unsqueeze(1))]

    def steps() -> None:
        for k, piece in enumerate(pieces):
            input_buffer.update_inplace(piece)
            runtime.run_with_iobinding(back if k % 2 else forth)

    def whole() -> None:
        runtime.run_with_iobinding(forth)

    return {"step": steps} if stepwise else {"infer": whole}


def onnx_session(model: Dense, example: tuple[torch.Tensor, ...], threads: int) -> Any:
    """An ONNX Runtime session of a torch LSTM with its state as inputs and outputs."""
    import onnx

    file: Any = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, example, file, dynamo=False,
            input_names=["x", "h", "c"], output_names=["y", "h_after", "c_after"],
        )  # fmt: skip
    return session(onnx.load_model_from_string(file.getvalue()), threads)
