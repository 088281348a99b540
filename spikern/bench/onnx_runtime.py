"""ONNX Runtime's LSTM, exported from torch, with its buffers bound once."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import torch

from spikern.bench.networks import Dense
from spikern.bench.works import Work


def session(model: Dense, example: tuple[torch.Tensor, ...], threads: int) -> Any:
    """An inference session of a torch LSTM with its state as inputs and outputs."""
    import onnxruntime

    file: Any = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, example, file, dynamo=False,
            input_names=["x", "h", "c"], output_names=["y", "h_after", "c_after"],
        )  # fmt: skip
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        file.getvalue(), options, providers=["CPUExecutionProvider"]
    )


def calls(model: Dense, work: Work, threads: int) -> dict[str, Callable[[], object]]:
    """What can be timed: a whole batch, or its steps with the state carried.

    Inputs, state and outputs are bound, which is faster than passing arrays: at every step the
    state is read from one pair of buffers and written to the other.
    """
    import onnxruntime

    value = onnxruntime.OrtValue.ortvalue_from_numpy
    x, _ = work.batch_of()
    stepwise = "step" in work.whats
    first = x[:1] if stepwise else x
    hidden = torch.zeros(work.layers, work.batch, model.rnn.hidden_size)
    made = session(model.eval(), (first, hidden, hidden), threads)
    fed = value(first.numpy().copy())
    y = value(torch.zeros(work.batch, work.classes).numpy())
    one, other = ([value(hidden.numpy().copy()) for _ in "hc"] for _ in range(2))

    def bound(before: list[Any], after: list[Any]) -> Any:
        binding = made.io_binding()
        for name, buffer in zip(("x", "h", "c"), (fed, *before)):
            binding.bind_ortvalue_input(name, buffer)
        for name, buffer in zip(("y", "h_after", "c_after"), (y, *after)):
            binding.bind_ortvalue_output(name, buffer)
        return binding

    there, back = bound(one, other), bound(other, one)
    pieces = [piece.numpy().copy() for piece in torch.unbind(x.unsqueeze(1))]

    def steps() -> None:
        for k, piece in enumerate(pieces):
            fed.update_inplace(piece)
            made.run_with_iobinding(back if k % 2 else there)

    def whole() -> None:
        made.run_with_iobinding(there)

    return {"step": steps} if stepwise else {"infer": whole}
