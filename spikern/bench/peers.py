"""Everyone that is timed: a name, a firing rate, and a call for each thing that it can do."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from spikern import init
from spikern.bench import onnx_runtime
from spikern.bench.networks import Dense, Leaky, lstm_of, parameters, spiking, with_engine
from spikern.bench.works import Work
from spikern.engines.compiled import compile_stream
from spikern.network import Network

Call = Callable[[], object]
FUSED, REFERENCE, STREAM = "spikern fused", "spikern reference", "spikern stream"
SNNTORCH = "snnTorch RLeaky"
DENSE = {"nn.RNN": "RNN", "nn.GRU": "GRU", "nn.LSTM": "LSTM"}
RUNTIME, RUNTIME_EQUAL = "ONNX Runtime LSTM", "ONNX Runtime LSTM, equal parameters"
TRAINED = (FUSED, REFERENCE, SNNTORCH, *DENSE)
"""Those that train, and whose memory is measured."""
NEEDS = {
    SNNTORCH: {"snntorch": "snntorch==1.0.0"},
    RUNTIME: {"onnxruntime": "onnxruntime", "onnx": "onnx"},
}


class Peer(NamedTuple):
    """One contestant at a work; `rate` is the rate asked for, None where it changes nothing.

    `rates` are those measured, by layer; `calls` do the work named "train", "infer" or "step".
    """

    name: str
    rate: float | None
    rates: tuple[float, ...]
    calls: dict[str, Call]


def not_measured() -> dict[str, str]:
    """Peers whose packages are missing, with what to install."""
    missing = {}
    for name, packages in NEEDS.items():
        absent = [p for p in packages if importlib.util.find_spec(p) is None]
        if absent:
            pins = " ".join(packages[p] for p in absent)
            what = f"{' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed"
            missing[name] = f"{what}; pip install {pins}"
    return missing


def train_step(model: nn.Module, x: Tensor, y: Tensor) -> Call:
    """A whole training step: projection, recurrence, readout, loss, backward, Adam.

    The learning rate is zero: Adam does its work, and the weights, hence the rates, stay.
    """
    optimiser = torch.optim.Adam(model.parameters(), lr=0.0)

    def call() -> None:
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x)[0], y).backward()  # type: ignore[no-untyped-call]
        optimiser.step()

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


def torch_peer(
    name: str, rate: float | None, rates: list[float], model: nn.Module, work: Work
) -> Peer:
    """A torch module as a contestant."""
    x, y = work.batch_of()
    calls: dict[str, Call] = {}
    if "train" in work.whats or "memory" in work.whats:
        calls["train"] = train_step(model, x, y)
    if "infer" in work.whats:
        calls["infer"] = inference(model, x)
    if "step" in work.whats:
        calls["step"] = stepping(model, x, flat=not isinstance(model, Network))
    return Peer(name, rate, tuple(rates), calls)


def stream_peer(rate: float, rates: list[float], network: Network, work: Work) -> Peer:
    """The stream engine, which does not train."""
    x: Any = work.batch_of()[0].numpy()
    stream = compile_stream(network)
    pieces = [np.ascontiguousarray(piece) for piece in x[:, 0]]

    def steps() -> None:
        state = stream.zero_state()
        for piece in pieces:
            stream.step(piece, state)

    calls: dict[str, Call] = {
        "infer": lambda: stream.run(x).out.mean(0),
        "step": steps,
    }
    return Peer(STREAM, rate, tuple(rates), {w: c for w, c in calls.items() if w in work.whats})


def measured_rates(network: Network, x: Tensor) -> list[float]:
    """Spikes per neuron and step, by layer."""
    with torch.no_grad():
        return init.firing_rates(network.run(x)[0].spikes, x)


def make(name: str, work: Work, rate: float) -> Peer:
    """One contestant that trains, by name."""
    x, _ = work.batch_of()
    if name in DENSE:
        return torch_peer(name, None, [], Dense(DENSE[name], work), work)
    if name == SNNTORCH:
        leaky = Leaky(work)
        return torch_peer(name, rate, leaky.calibrate(x, rate), leaky, work)
    network = spiking(work, x, rate)
    rates = measured_rates(network, x)
    engine = name.removeprefix("spikern ")
    return torch_peer(name, rate, rates, with_engine(network, engine), work)


def contestants(work: Work, rates: tuple[float, ...], threads: int) -> Iterator[Peer]:
    """All that can be timed at a work, those that a firing rate concerns once for each rate."""
    x, _ = work.batch_of()
    missing = not_measured()
    for rate in rates:
        network = spiking(work, x, rate)
        found = measured_rates(network, x)
        yield torch_peer(FUSED, rate, found, with_engine(network, "fused"), work)
        yield torch_peer(REFERENCE, rate, found, with_engine(network, "reference"), work)
        if not {"infer", "step"}.isdisjoint(work.whats):
            yield stream_peer(rate, found, network, work)
        if SNNTORCH not in missing:
            yield make(SNNTORCH, work, rate)
    for name in DENSE:
        yield make(name, work, rates[0])
    if RUNTIME not in missing:
        equal = lstm_of(parameters(network), work)
        for name, hidden in ((RUNTIME, work.hidden), (RUNTIME_EQUAL, equal)):
            calls = onnx_runtime.calls(Dense("LSTM", work, hidden), work, threads)
            yield Peer(name, None, (), calls)
