"""One network on one runtime: a call without arguments that gives the logits of one batch.

    spikern stream       the event-driven engine, for a spiking network
    torch eager          a standard network as torch runs it
    torch.compile        the same traced whole, the recurrence too, and compiled by inductor
    ONNX Runtime fp32    its ONNX graph, input and output bound once
    ONNX Runtime int8    the same, quantised; where ONNX Runtime can

A standard network sees only the past, so it runs over the padding and is asked at each sample's
last valid step; that spares it the packing which torch would do.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikern.baselines import Baseline
from spikern.data.dataset import Split
from spikern.engines.stream import compile_stream
from spikern.network import ANSWERS, Network
from spikern.twins.graph import onnx_graph, package, session
from spikern.twins.int8 import int8_graph
from spikern.types import UnsupportedError

Call = Callable[[], NDArray[Any]]
"""Computes the logits of the batch that it was made for."""

STREAM, EAGER, COMPILED = "spikern stream", "torch eager", "torch.compile"
FLOAT_GRAPH, INT8_GRAPH = "ONNX Runtime fp32", "ONNX Runtime int8"
COMPILERS = ("g++", "clang++")


def stream(network: Network, batch: Split, threads: int) -> Call:
    """The stream engine; `threads` is torch's setting, which it follows."""
    compiled = compile_stream(network)
    x, lengths = batch.x.numpy(), batch.lengths.numpy()
    everyone = np.arange(len(lengths))

    def call() -> NDArray[Any]:
        out = compiled.run(x, lengths=lengths).out
        if network.answer == "last":
            return out[lengths - 1, everyone]
        if network.answer == "mean":
            return out.sum(0) / lengths[:, None]
        return out

    return call


def eager(network: Network, batch: Split, threads: int) -> Call:
    """torch, an operator at a time."""
    return in_torch(padded(network), batch)


def compiled(network: Network, batch: Split, threads: int) -> Call:
    """torch.compile with the recurrence in the graph, which torch leaves out unless it is asked.

    Raises UnsupportedError without a C++ compiler, which inductor needs.
    """
    if not any(map(shutil.which, COMPILERS)):
        raise UnsupportedError(
            f"torch.compile needs a C++ compiler, {' or '.join(COMPILERS)}; none is on the PATH"
        )
    import torch._dynamo.config as dynamo

    call = in_torch(torch.compile(padded(network)), batch)
    with dynamo.patch(allow_rnn=True):  # type: ignore[no-untyped-call]
        call()
    return call


def float_graph(network: Network, batch: Split, threads: int) -> Call:
    """ONNX Runtime in float32."""
    return bound(onnx_graph(network), network, batch, threads)


def int8(network: Network, batch: Split, threads: int) -> Call:
    """ONNX Runtime in int8; raises UnsupportedError for RNN and GRU, which it does not quantise."""
    return bound(int8_graph(network), network, batch, threads)


RUNTIMES: dict[bool, dict[str, Callable[[Network, Split, int], Call]]] = {
    True: {STREAM: stream},
    False: {EAGER: eager, COMPILED: compiled, FLOAT_GRAPH: float_graph, INT8_GRAPH: int8},
}
"""By whether the network is spiking: what runs it, (network, batch, threads) -> call."""


def padded(network: Network) -> Callable[[Tensor, Tensor], Tensor]:
    """A standard network's logits of x (T, B, F) and lengths (B,), without checks or packing."""
    body, readout, form = network.body, network.readout, ANSWERS[network.answer]
    if not isinstance(body, Baseline):
        raise UnsupportedError("only RNN, GRU and LSTM run over padding; stream a spiking network")

    def logits(x: Tensor, lengths: Tensor) -> Tensor:
        return readout(form(body.rnn(x)[0], lengths))  # type: ignore[no-any-return]

    return logits


def in_torch(logits: Callable[[Tensor, Tensor], Tensor], batch: Split) -> Call:
    """A call of a function of tensors, without gradients."""

    def call() -> NDArray[Any]:
        with torch.inference_mode():
            return logits(batch.x, batch.lengths).numpy()

    return call


def bound(graph: Any, network: Network, batch: Split, threads: int) -> Call:
    """A call of an ONNX graph with its buffers bound, which is faster than passing arrays."""
    value = package("onnxruntime").OrtValue.ortvalue_from_numpy
    made = session(graph, threads)
    steps, count, _ = batch.x.shape
    first = (steps, count) if network.answer == "every_step" else (count,)
    logits = value(np.zeros((*first, network.readout.out_features), np.float32))  # type: ignore[arg-type]
    binding = made.io_binding()
    binding.bind_ortvalue_input("x", value(np.ascontiguousarray(batch.x.numpy())))
    binding.bind_ortvalue_input("lengths", value(batch.lengths.int().numpy()))
    binding.bind_ortvalue_output("logits", logits)

    def call() -> NDArray[Any]:
        made.run_with_iobinding(binding)
        return logits.numpy()  # type: ignore[no-any-return]

    return call
