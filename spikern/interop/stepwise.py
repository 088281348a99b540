"""One step of a network as an ONNX graph, (x, state) -> (out, state), of any number of steps."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from spikern._utils.errors import UnsupportedError
from spikern.engines.codegen.emit import form_of
from spikern.engines.codegen.program import LOGIC, Op, Value
from spikern.engines.stream import StreamPopulation
from spikern.interop.onnx import (
    ATTRIBUTES,
    IR_VERSION,
    OPSET,
    array,
    bias_of,
    check_float,
    layer_weights,
)
from spikern.layers.baseline import Baseline
from spikern.layers.network import Network
from spikern.layers.streaming import compile_stream

Shapes = dict[str, tuple[int, ...]]
"""The shapes of inputs or outputs by name, without the batch."""


class Graph:
    """Nodes and constants of a graph in the making; values are known by name.

    Names that it makes itself begin with a slash, which no field of a state has.
    """

    def __init__(self, onnx: Any) -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def constant(self, value: Any, name: str = "") -> str:
        """The name of a constant."""
        name = f"/{name or len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def node(self, operator: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        """Add a node; the name of its result."""
        to = to or f"/value_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, [to], **attributes))
        return to

    def model(self, title: str, inputs: Shapes, outputs: Shapes) -> Any:
        """The model, checked; every input and output has a batch before its shape."""
        make, kind = self.onnx.helper, self.onnx.TensorProto.FLOAT
        values = [
            [make.make_tensor_value_info(name, kind, ["B", *shape]) for name, shape in ends.items()]
            for ends in (inputs, outputs)
        ]
        constants = [self.onnx.numpy_helper.from_array(v, n) for n, v in self.constants.items()]
        model = make.make_model(
            make.make_graph(self.nodes, title, *values, constants),
            opset_imports=[make.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        self.onnx.checker.check_model(model)
        return model


def onnx_step(network: Network) -> Any:
    """Convert one step of a network to an onnx.ModelProto.

    Inputs are x (B, F) and each field of the state, named as <field>_<layer>; outputs are `out`
    (B, C), the readout of this step, and the next state under the names next_<field>_<layer>. A
    state begins with zeros. Spikes are those of the stream where sums are exact; elsewhere they
    may differ where rounding decides.

    Raises UnsupportedError for delays, for experts, and for an operation that ONNX lacks.

    >>> from spikern import build
    >>> [value.name for value in onnx_step(build("LIF", 3, 8, 2)).graph.output]
    ['out', 'next_v_0', 'next_z_0', 'next_v_1']
    """
    import onnx

    check_float(network)
    graph = Graph(onnx)
    if isinstance(network.body, Baseline):
        return _gated(graph, network.body, network.readout)
    stream = compile_stream(network)
    if stream.is_wired:
        raise UnsupportedError(
            "a network with delays, skip connections or several readouts has no ONNX step"
        )
    if any(p.router for p in stream.populations):
        raise UnsupportedError("a network of experts has no ONNX step")
    inputs: Shapes = {"x": (stream.input_size,)}
    outputs: Shapes = {"out": (stream.output_size,)}
    below = "x"
    for k, p in enumerate(stream.populations):
        fields: Shapes = {f"{field}_{k}": (len(p.bias),) for field in p.step.state}
        inputs |= fields
        outputs |= {f"next_{name}": shape for name, shape in fields.items()}
        below = _population(graph, k, p, below)
    first = len(stream.populations[-1].bias) - stream.output_size
    ends = (graph.constant([place]) for place in (first, 2**31, 1))
    graph.node("Slice", below, *ends, to="out")
    return graph.model("step of a spiking network", inputs, outputs)


def _population(graph: Graph, k: int, p: StreamPopulation, below: str) -> str:
    """Add the nodes of a population that reads `below`; the name of its output."""
    total = graph.node("MatMul", below, graph.constant(p.w_in.T, f"w_in_{k}"))
    total = graph.node("Add", total, graph.constant(p.bias, f"bias_{k}"))
    if p.w_rec is not None:
        rows = graph.constant(p.w_rec.T, f"w_rec_{k}")
        total = graph.node("Add", total, graph.node("MatMul", f"z_{k}", rows))
    program = p.step.program
    names = {f"p_{f}": graph.constant(v, f"{f}_of_{k}") for f, v in zip(p.step.params, p.params)}
    names |= {f"s_{field}": f"{field}_{k}" for field in p.step.state} | {"i": total}
    truths = {op.name for op in program.ops if op.truth}

    def value(argument: Value, truth: bool = False) -> str:
        if not isinstance(argument, str):
            return graph.constant(bool(argument) if truth else np.float32(argument))
        if argument == "z" and "z" not in names:
            zero = graph.constant(np.float32(0.0))
            fires = graph.node("Greater", value(program.outputs["u"]), zero)
            names["z"] = _as_number(graph, fires)
        name = names[argument]
        if truth and argument not in truths:
            return graph.node("Not", graph.node("Equal", name, graph.constant(np.float32(0.0))))
        return _as_number(graph, name) if argument in truths and not truth else name

    def operation(op: Op) -> str:
        logic = op.kind in LOGIC
        arguments = [
            value(a, truth=logic or (op.kind == "where" and (n == 0 or op.truth)))
            for n, a in enumerate(op.args)
        ]
        form = ast.parse(form_of(op.kind, "onnx").format("a", "b", "c"), mode="eval")
        return _nodes(graph, form.body, dict(zip("abc", arguments)))

    for op in program.ops:
        names[op.name] = operation(op)
    for field in p.step.state:
        graph.node("Identity", value(program.outputs[f"n_{field}"]), to=f"next_{field}_{k}")
    return value(program.outputs["out"])


def _as_number(graph: Graph, truth: str) -> str:
    """A truth value as 1 or 0."""
    one, zero = (graph.constant(np.float32(value)) for value in (1.0, 0.0))
    return graph.node("Where", truth, one, zero)


def _nodes(graph: Graph, form: ast.expr, arguments: Mapping[str, str]) -> str:
    """Add the nodes of nested operators, and name the result."""
    if isinstance(form, ast.Name):
        return arguments[form.id]
    if isinstance(form, ast.Constant):
        return graph.constant(np.float32(form.value))  # type: ignore[arg-type]
    operator: Any = form
    inputs = [_nodes(graph, each, arguments) for each in operator.args]
    attributes = {each.arg: each.value.value for each in operator.keywords}
    return graph.node(operator.func.id, *inputs, **attributes)


def _gated(graph: Graph, body: Baseline, readout: nn.Module) -> Any:
    """The step of a standard network: ONNX's own recurrent operator over a sequence of one."""
    if not isinstance(readout, nn.Linear) or body.experts > 1:
        raise UnsupportedError(
            "only a linear readout of RNN, GRU and LSTM without experts has an ONNX step"
        )
    first, direction = graph.constant([0]), graph.constant([1])
    fields = ("h", "c") if body.kind == "LSTM" else ("h",)
    shapes: Shapes = {}
    out = graph.node("Unsqueeze", "x", first)
    for k in range(body.num_layers):
        names = [f"{field}_{k}" for field in fields]
        weights = [graph.constant(v, name) for name, v in layer_weights(body, k).items()]
        before = [graph.node("Unsqueeze", name, first) for name in names]
        results = [f"directions_{k}", *(f"last_{name}" for name in names)]
        graph.nodes.append(
            graph.onnx.helper.make_node(
                body.kind, [out, *weights, "", *before], results,
                hidden_size=body.hidden_size, **ATTRIBUTES[body.kind],
            )
        )  # fmt: skip
        for name, result in zip(names, results[1:]):
            graph.node("Squeeze", result, first, to=f"next_{name}")
        out = graph.node("Squeeze", results[0], direction)
        shapes |= dict.fromkeys(names, (body.hidden_size,))
    hidden = graph.node("Squeeze", out, first)
    product = graph.node("MatMul", hidden, graph.constant(array(readout.weight.T), "readout"))
    graph.node("Add", product, graph.constant(bias_of(readout), "bias"), to="out")
    inputs: Shapes = {"x": (body.input_size,), **shapes}
    outputs: Shapes = {"out": (readout.out_features,)}
    outputs |= {f"next_{name}": shape for name, shape in shapes.items()}
    return graph.model(f"step of a {body.kind} network", inputs, outputs)
