"""One network on one runtime: for each batch a call without arguments that gives its logits.

    spikern stream       the event-driven engine, for a spiking network
    torch eager          a standard network as torch runs it
    torch.compile        the same compiled by inductor as one graph, which includes the recurrence
    ONNX Runtime fp32    its ONNX graph, input and output bound once
    ONNX Runtime int8    the same, quantised; where ONNX Runtime can

A standard network depends only on the past, so it runs over the padding and is read at the last
valid step of each sample; no sequence is packed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikern._utils.errors import UnsupportedError
from spikern.data.dataset import Batch
from spikern.interop.onnx import Logits, int8_graph, onnx_graph, session
from spikern.layers.baseline import Baseline
from spikern.layers.network import ANSWERS, Network
from spikern.layers.streaming import compile_stream

Call = Callable[[], NDArray[Any]]
"""A call without arguments that computes the logits of one batch."""
STREAM, EAGER, COMPILED = "spikern stream", "torch eager", "torch.compile"
FLOAT_GRAPH, INT8_GRAPH = "ONNX Runtime fp32", "ONNX Runtime int8"
COMPILERS = ("g++", "clang++")
UNROLLED = 32
"""Most steps of an RNN or GRU that are compiled: torch.compile unrolls them; 64 take minutes."""


def stream(network: Network, batches: Sequence[Batch], threads: int) -> list[Call]:
    """The stream engine; it follows the thread setting of torch."""
    engine = compile_stream(network)

    def bind(batch: Batch) -> Call:
        x, lengths = batch.x.numpy(), batch.lengths.numpy()
        samples = np.arange(len(lengths))

        def call() -> NDArray[Any]:
            out: NDArray[Any] = engine.run(x, lengths=lengths).out
            if network.answer == "last":
                out = out[lengths - 1, samples]
            elif network.answer == "mean":
                out = out.sum(0) / lengths[:, None]
            return out

        return call

    return [bind(batch) for batch in batches]


def eager(network: Network, batches: Sequence[Batch], threads: int) -> list[Call]:
    """torch in eager mode."""
    return in_torch(padded(network), batches)


def compiled(network: Network, batches: Sequence[Batch], threads: int) -> list[Call]:
    """torch.compile with the recurrence in the graph, which torch leaves out by default.

    Raises UnsupportedError without a C++ compiler, which inductor needs, and for an RNN or GRU
    over more than UNROLLED steps.
    """
    if not any(map(shutil.which, COMPILERS)):
        raise UnsupportedError(
            f"torch.compile needs a C++ compiler, {' or '.join(COMPILERS)}; none is on the PATH"
        )
    steps = max(len(batch.x) for batch in batches)
    if network.body.kind != "LSTM" and steps > UNROLLED:
        raise UnsupportedError(
            f"torch.compile unrolls the steps of a {network.body.kind}; {steps} of them take "
            f"minutes to compile, so more than {UNROLLED} are refused"
        )
    import torch._dynamo.config as dynamo

    logits: Any = padded(network)
    # A code object of its own: torch caches compiled networks by code object, eight at most.
    logits.__code__ = logits.__code__.replace()
    calls = in_torch(torch.compile(logits, fullgraph=True), batches)
    with dynamo.patch(allow_rnn=True):
        for call in calls:
            call()
    return calls


def float_graph(network: Network, batches: Sequence[Batch], threads: int) -> list[Call]:
    """ONNX Runtime in float32."""
    return bound(onnx_graph(network), network, batches, threads)


def int8(network: Network, batches: Sequence[Batch], threads: int) -> list[Call]:
    """ONNX Runtime in int8. Raises UnsupportedError for RNN and GRU, which it does not quantise."""
    return bound(int8_graph(network), network, batches, threads)


Runtime = Callable[[Network, Sequence[Batch], int], list[Call]]
"""(network, batches, threads) -> a call for each batch."""
RUNTIMES: dict[bool, dict[str, Runtime]] = {
    True: {STREAM: stream},
    False: {EAGER: eager, COMPILED: compiled, FLOAT_GRAPH: float_graph, INT8_GRAPH: int8},
}
"""The runtimes of a network, by whether it is spiking."""


def padded(network: Network) -> Logits:
    """A standard network's logits of x (T, B, F) and lengths (B,), without checks or packing."""
    body, readout, answer = network.body, network.readout, ANSWERS[network.answer]
    if not isinstance(body, Baseline):
        raise UnsupportedError("only RNN, GRU and LSTM run over padding; stream a spiking network")

    def logits(x: Tensor, lengths: Tensor) -> Tensor:
        answers: Tensor = readout(answer(body.rnn(x)[0], lengths))
        return answers

    return logits


def in_torch(logits: Logits, batches: Sequence[Batch]) -> list[Call]:
    """Calls of a function of tensors, without gradients."""

    def bind(batch: Batch) -> Call:
        def call() -> NDArray[Any]:
            with torch.inference_mode():
                return logits(batch.x, batch.lengths).numpy()

        return call

    return [bind(batch) for batch in batches]


def bound(graph: Any, network: Network, batches: Sequence[Batch], threads: int) -> list[Call]:
    """Calls of an ONNX graph with their buffers bound, which is faster than passing arrays."""
    from onnxruntime import OrtValue

    value = OrtValue.ortvalue_from_numpy
    runtime = session(graph, threads)
    readout: Any = network.readout

    def bind(batch: Batch) -> Call:
        shape = batch.x.shape[:2] if network.answer == "every_step" else batch.x.shape[1:2]
        logits = value(np.zeros((*shape, readout.out_features), np.float32))
        binding = runtime.io_binding()
        binding.bind_ortvalue_input("x", value(np.ascontiguousarray(batch.x.numpy())))
        binding.bind_ortvalue_input("lengths", value(batch.lengths.int().numpy()))
        binding.bind_ortvalue_output("logits", logits)

        def call() -> NDArray[Any]:
            runtime.run_with_iobinding(binding)
            out: NDArray[Any] = logits.numpy()
            return out

        return call

    return [bind(batch) for batch in batches]
