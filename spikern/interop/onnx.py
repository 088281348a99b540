"""Standard networks with their answer as ONNX graphs, and ONNX Runtime to run them.

    x (T, B, F) float32, lengths (B,) int32  ->  logits (B, C), or (T, B, C) at every step

T and B are variable. ONNX's RNN, GRU and LSTM compute the same as those of torch once the gates are
in ONNX's order; past a sample's length they give zeros, and their last state is that of the last
valid step.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spikern._utils.errors import InputError, UnsupportedError
from spikern._utils.tensors import to_numpy
from spikern.layers.arguments import check_weights
from spikern.layers.baseline import Baseline
from spikern.layers.network import Network

GATES = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2)}
"""Positions of ONNX's gates among torch's: GRU z r n from r z n, LSTM i o f g from i f g o."""
ATTRIBUTES: dict[str, dict[str, Any]] = {"RNN": {}, "GRU": {"linear_before_reset": 1}, "LSTM": {}}
FLOAT_OPERATORS = {"RNN", "GRU", "LSTM", "MatMul"}
"""Operators that must not be left in an int8 graph."""
OPSET, IR_VERSION = 17, 9
Logits = Callable[[Tensor, Tensor], Tensor]
"""(x (T, B, F), lengths (B,)) -> logits."""


def onnx_graph(network: Network) -> Any:
    """Convert a standard network to an onnx.ModelProto.

    Raises UnsupportedError for a spiking network.

    >>> from spikern import build
    >>> [node.op_type for node in onnx_graph(build("GRU", 3, 8, 2)).graph.node]
    ['GRU', 'Squeeze', 'Squeeze', 'MatMul', 'Add']
    """
    check_float(network)
    body, readout = network.body, network.readout
    if not isinstance(body, Baseline) or body.experts > 1 or not isinstance(readout, nn.Linear):
        raise UnsupportedError("only RNN, GRU and LSTM networks without experts have an ONNX graph")
    import onnx

    make, floats = onnx.helper, onnx.TensorProto.FLOAT
    constants: dict[str, NDArray[Any]] = {"first": np.array([0]), "direction": np.array([1])}
    nodes, out = [], "x"
    for k in range(body.num_layers):
        constants |= layer_weights(body, k)
        inputs = [out, f"weight_ih_{k}", f"weight_hh_{k}", f"bias_{k}", "lengths"]
        outputs = [f"directions_{k}", f"last_{k}"]
        nodes += [
            make.make_node(
                body.kind, inputs, outputs, hidden_size=body.hidden_size, **ATTRIBUTES[body.kind]
            ),
            make.make_node("Squeeze", [outputs[0], "direction"], [f"hidden_{k}"]),
        ]
        out = f"hidden_{k}"
    for operator, inputs, outputs, settings in answer(network, out):
        nodes.append(make.make_node(operator, inputs, outputs, **settings))
    constants |= {"readout": array(readout.weight.T), "bias": bias_of(readout)}
    nodes += [
        make.make_node("MatMul", ["answer", "readout"], ["products"]),
        make.make_node("Add", ["products", "bias"], ["logits"]),
    ]
    used = constants.keys() & {name for node in nodes for name in node.input}
    shape = ["T", "B"] if network.answer == "every_step" else ["B"]
    graph = make.make_graph(
        nodes,
        f"{body.kind} network",
        [
            make.make_tensor_value_info("x", floats, ["T", "B", body.input_size]),
            make.make_tensor_value_info("lengths", onnx.TensorProto.INT32, ["B"]),
        ],
        [make.make_tensor_value_info("logits", floats, [*shape, readout.out_features])],
        [onnx.numpy_helper.from_array(constants[name], name) for name in sorted(used)],
    )
    model = make.make_model(
        graph, opset_imports=[make.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(model)
    return model


def answer(
    network: Network, hidden: str
) -> Iterator[tuple[str, list[str], list[str], dict[str, Any]]]:
    """Yield the nodes from the last layer to the answer: (operator, inputs, outputs, settings)."""
    if network.answer == "every_step":
        yield "Identity", [hidden], ["answer"], {}
    elif network.answer == "last":
        last = hidden.replace("hidden", "last")
        yield "Squeeze", [last, "first"], ["answer"], {}
    else:
        yield "ReduceSum", [hidden, "first"], ["sum"], {"keepdims": 0}
        yield "Cast", ["lengths"], ["steps"], {"to": 1}
        yield "Unsqueeze", ["steps", "direction"], ["divisor"], {}
        yield "Div", ["sum", "divisor"], ["answer"], {}


def check_float(network: Network) -> None:
    """Raise InputError unless it is a network of finite float32 weights."""
    if not isinstance(network, Network):
        raise InputError(f"expected a Network, got {type(network).__name__}; make one of a layer")
    check_weights(network)
    if (found := next(network.parameters()).dtype) != torch.float32:
        raise InputError(f"an ONNX graph is written in float32, got {found}; give network.float()")


def layer_weights(body: Baseline, k: int) -> dict[str, NDArray[Any]]:
    """Return one layer's weights and biases by name, in ONNX's layout and order of gates."""

    def ordered(name: str) -> NDArray[Any]:
        weight = array(getattr(body.rnn, f"{name}_l{k}"))
        gates = weight.reshape(len(GATES[body.kind]), body.hidden_size, *weight.shape[1:])
        return gates[list(GATES[body.kind])].reshape(1, *weight.shape)

    return {
        f"weight_ih_{k}": ordered("weight_ih"),
        f"weight_hh_{k}": ordered("weight_hh"),
        f"bias_{k}": np.concatenate([ordered("bias_ih"), ordered("bias_hh")], axis=1),
    }


def array(x: Tensor) -> NDArray[Any]:
    """Return a tensor as a contiguous array."""
    return np.ascontiguousarray(to_numpy(x))


def bias_of(readout: nn.Linear) -> NDArray[Any]:
    """Return the bias of a readout, of zeros if it has none."""
    weight = readout.weight
    return array(weight.new_zeros(len(weight)) if readout.bias is None else readout.bias)


def session(graph: Any, threads: int = 1) -> Any:
    """Start an ONNX Runtime session of a graph on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def logits_of(graph: Any) -> Logits:
    """Return a graph as a function of tensors."""
    cpu_session = session(graph)

    def logits(x: Tensor, lengths: Tensor) -> Tensor:
        feed = {"x": np.ascontiguousarray(x.numpy()), "lengths": lengths.int().numpy()}
        return torch.from_numpy(cpu_session.run(None, feed)[0])

    return logits


def int8_graph(network: Network) -> Any:
    """Convert a standard network to int8 by onnxruntime.quantization.quantize_dynamic.

    Raises UnsupportedError if a product would stay in float32.
    """
    import onnx
    from onnxruntime import quantization

    float_graph = onnx_graph(network)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        before = logging.root.level
        logging.root.setLevel(logging.ERROR)  # it recommends pre-processing meant for images
        try:
            quantization.quantize_dynamic(
                float_graph, path, weight_type=quantization.QuantType.QInt8
            )
        finally:
            logging.root.setLevel(before)
        model = onnx.load(path)
    left = sorted({node.op_type for node in model.graph.node} & FLOAT_OPERATORS)
    if left:
        raise UnsupportedError(
            f"ONNX Runtime does not quantise {', '.join(left)}; "
            f"int8_weights measures the accuracy of this network, not its speed"
        )
    return model
