"""The twin in int8, quantised after training, and what its answers are then worth.

Two schemes, never one in place of the other:

    int8_graph    ONNX Runtime's dynamic quantisation: weights in int8, one scale a matrix,
                  activations quantised at run time, products in integers. It is fast and runs
                  the LSTM; ONNX Runtime has no such GRU or RNN, and the float one is refused.
    int8_weights  any standard network in torch, its weights rounded to int8 with one scale a
                  row:  w -> s round(w / s),  s = max|row| / 127.  Biases and activations stay
                  float32. It measures accuracy and says nothing of speed.
"""

from __future__ import annotations

import copy
import logging
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spikern.data.dataset import Split
from spikern.network import Network
from spikern.train import evaluate
from spikern.twins.graph import Logits, logits_of, onnx_graph, package
from spikern.types import InputError, UnsupportedError

LEVELS = 127
"""Largest int8 magnitude used; -128 is not, so that the range is symmetric."""
FLOAT_OPERATORS = {"RNN", "GRU", "LSTM", "MatMul"}


class Int8(NamedTuple):
    """Measured on one split: accuracy in int8 and in float32, and how often both answer alike."""

    scheme: str
    accuracy: float
    float_accuracy: float
    agreement: float


def int8_graph(network: Network) -> Any:
    """The network as an onnx.ModelProto in int8, by onnxruntime.quantization.quantize_dynamic.

    Raises UnsupportedError where a product would have stayed in float32.
    """
    float_graph = onnx_graph(network)
    quantization = package("onnxruntime.quantization")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        before = logging.root.level
        logging.root.setLevel(logging.ERROR)  # it advises a pre-processing meant for images
        try:
            quantization.quantize_dynamic(
                float_graph, path, weight_type=quantization.QuantType.QInt8
            )
        finally:
            logging.root.setLevel(before)
        made = package("onnx").load(path)
    left = sorted({node.op_type for node in made.graph.node} & FLOAT_OPERATORS)
    if left:
        raise UnsupportedError(
            f"ONNX Runtime does not quantise {', '.join(left)}; "
            f"int8_weights measures the accuracy of this network, not its speed"
        )
    return made


def int8_weights(network: Network) -> Network:
    """A copy whose weight matrices hold only multiples of their rows' int8 scale.

    Raises InputError if a weight is not finite.

    >>> from spikern import build
    >>> weight = int8_weights(build("RNN", 3, 8, 2)).body.rnn.weight_hh_l0
    >>> all(len(row.unique()) <= 8 for row in weight)
    True
    """
    rounded = copy.deepcopy(network)
    with torch.no_grad():
        for name, parameter in rounded.named_parameters():
            if "weight" in name:
                if not bool(parameter.isfinite().all()):
                    raise InputError(f"{name} holds NaN or infinite values; nothing to quantise")
                parameter.copy_(round_rows(parameter))
    return rounded


def round_rows(weight: Tensor) -> Tensor:
    """w -> s round(w / s) with s = max|row| / 127, a row (out) of weight (out, in) at a time.

    >>> round_rows(torch.tensor([[1.27, 0.014], [0.0, 0.0]]))
    tensor([[1.2700, 0.0100],
            [0.0000, 0.0000]])
    """
    scale = weight.abs().amax(1, keepdim=True) / LEVELS
    return torch.where(scale > 0, (weight / scale).round() * scale, 0.0)


def predictions(logits: Logits, split: Split, batch_size: int = 256) -> Tensor:
    """The answers to a split, (N,), or (T, N) with zeros past a sample's length."""
    found = torch.zeros_like(split.y)
    for indices in torch.split(torch.arange(len(split)), batch_size):
        batch = split.batch(indices)
        answers = logits(batch.x, batch.lengths).argmax(-1)
        if answers.ndim == 2:
            found[: len(answers), indices] = answers
        else:
            found[indices] = answers
    return found


def measured_graph(network: Network, split: Split) -> Int8:
    """The accuracy of `int8_graph` on a split, run by ONNX Runtime."""
    return beside("dynamic int8, ONNX Runtime", logits_of(int8_graph(network)), network, split)


def measured_weights(network: Network, split: Split) -> Int8:
    """The accuracy of `int8_weights` on a split, run by torch."""
    rounded = int8_weights(network)

    def logits(x: Tensor, lengths: Tensor) -> Tensor:
        with torch.no_grad():
            return rounded(x, lengths=lengths)[0]  # type: ignore[no-any-return]

    return beside("weight-only int8, simulated in float32", logits, network, split)


def beside(scheme: str, logits: Logits, network: Network, split: Split) -> Int8:
    """Quantised logits measured beside the network that they came from, over labelled answers."""
    in_float = evaluate(network, split)
    answers = predictions(logits, split)
    labelled = split.y >= 0

    def share(same: Tensor) -> float:
        return float(same[labelled].double().mean())

    return Int8(
        scheme,
        share(answers == split.y),
        in_float.accuracy,
        share(answers == in_float.predictions),
    )
