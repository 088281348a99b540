"""A neuron's step and its adjoint as short programs of scalar operations.

`make_fx` runs the step on example tensors with `fire` replaced by an input, and writes down
every aten operation in the author's order; the same is done with `torch.func.vjp` of the step,
so torch derives the adjoint and nobody writes one. The programs know nothing of time.

A result is a float32 number or a truth value, as torch says of it. Any other type is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from spikern._utils.errors import UnsupportedError
from spikern.engines.codegen.emit import OPERATIONS
from spikern.engines.codegen.program import (
    COMPARISONS,
    LOGIC,
    Gradient,
    Op,
    Program,
    Step,
    Value,
)
from spikern.neurons.model import NeuronModel
from spikern.neurons.surrogate import Surrogate

Result = TypeVar("Result")

ELEMENTWISE = {kind: kind for kind in OPERATIONS} | {
    **{"clamp_min": "maximum", "clamp_max": "minimum", "relu": "maximum", "sgn": "sign"},
    "rsub": "sub",
    **{f"{kind}_{k}": k for k in ("and", "or", "xor", "not") for kind in ("logical", "bitwise")},
}
"""Operations of torch and what they are here; `clamp` and `masked_fill` are made of these."""
OF_TRUTHS = {"mul": "and", "minimum": "and", "add": "or", "maximum": "or"}
"""What arithmetic is if its result is a truth value."""
SAME = {"detach", "alias", "clone", "lift_fresh", "lift_fresh_copy"}
CASTS = {"_to_copy", "to", "view"}
STORAGE = {"dtype", "layout", "device", "pin_memory", "memory_format", "non_blocking"}
"""Arguments that say how a result is stored; its values are those without them."""
FILLS = {"zeros_like": 0.0, "ones_like": 1.0, "new_zeros": 0.0, "new_ones": 1.0}
FILLS |= {"zeros": 0.0, "ones": 1.0}
SHAPES = ((2, 3), (5, 7))
"""Shapes (B, H) of the examples: of a function of single neurons the program is the same."""
FULLS = {"full_like": 1, "full": 1, "new_full": 2, "scalar_tensor": 0}


class Stepping(Protocol):
    """A neuron, or what else has a name and a step."""

    @property
    def name(self) -> str:
        """What errors call it."""

    @property
    def step(self) -> Callable[..., Any]:
        """Its equations, in torch."""


def step(model: NeuronModel) -> Step:
    """The neuron's step as data."""
    return Step(model.name, forward(model))


def gradient(model: NeuronModel, surrogate: Surrogate, smooth: bool = False) -> Gradient:
    """What training needs beside the step; smooth: the spike is the surrogate's primitive."""
    replaced = primitive(surrogate) if smooth else None
    return Gradient(adjoint(model), surrogate.name, derivative(surrogate), replaced)


def forward(model: NeuronModel) -> Program:
    """The program of the step, see `Step`."""
    program = traced(model, _flat(model), _inputs(model), _outputs(model))
    if model.spikes and not (program.outputs["n_z"] == program.outputs["out"] == "z"):
        raise UnsupportedError(
            f"{model.name}: a derived kernel needs the spikes that `fire` returned, unchanged, as "
            "the state's z and as the output; engine='reference' has no such limit"
        )
    return program


def rounds_alike(model: NeuronModel) -> bool:
    """Whether every operation of the step rounds alike in torch and in a kernel.

    >>> from spikern.neurons import EIF, LIF
    >>> rounds_alike(LIF), rounds_alike(EIF)  # the second has an exponential
    (True, False)
    """
    return all(OPERATIONS[op.kind].exact or _is_square(op) for op in forward(model).ops)


def _is_square(op: Op) -> bool:
    return op.kind == "pow" and op.args[1] in (1.0, 2.0)


def adjoint(model: NeuronModel) -> Program:
    """The vector-Jacobian product of the step.

    Inputs: those of `forward`, then g_* for each of its outputs. Outputs: d_* for each of the
    step's inputs. d_z, the gradient that reaches the spikes, does not depend on g_u, and
    g_u = d_z * surrogate'(u) closes the loop.
    """
    return adjoint_of(model, _flat(model), _inputs(model), _outputs(model))


def adjoint_of(
    owner: Stepping, function: Callable[..., Any], inputs: Sequence[str], outputs: Sequence[str]
) -> Program:
    """The vector-Jacobian product of a function of tensors, with inputs g_* and outputs d_*."""
    count = len(inputs)

    def pull(*values: Tensor) -> Any:
        return torch.func.vjp(function, *values[:count])[1](tuple(values[count:]))

    gradients = [f"g_{o}" for o in outputs]
    return traced(owner, pull, [*inputs, *gradients], [f"d_{n}" for n in inputs])


def derivative(surrogate: Surrogate) -> Program:
    """The surrogate's derivative as a program: input u, output d."""
    return traced(surrogate, surrogate.derivative, ["u"], ["d"])


def primitive(surrogate: Surrogate) -> Program:
    """The surrogate's smooth primitive as a program: input u, output z."""
    return traced(surrogate, surrogate.primitive, ["u"], ["z"])


def _inputs(model: NeuronModel) -> list[str]:
    fields = [f"p_{f}" for f in model.params._fields] + [f"s_{f}" for f in model.state._fields]
    return [*fields, "i", "z"] if model.spikes else [*fields, "i"]


def _outputs(model: NeuronModel) -> list[str]:
    fields = [f"n_{f}" for f in model.state._fields]
    return [*fields, "out", "u"] if model.spikes else [*fields, "out"]


def _flat(model: NeuronModel) -> Callable[..., tuple[Tensor, ...]]:
    count = len(model.params._fields)
    last = count + len(model.state._fields)

    def flat(*values: Tensor) -> tuple[Tensor, ...]:
        asked: list[Tensor] = []

        def fire(u: Tensor) -> Tensor:
            asked.append(u)
            return values[last + 1] if model.spikes else torch.zeros_like(u)

        params, state = model.params(*values[:count]), model.state(*values[count:last])
        following, out = model.step(params, state, values[last], fire)
        if len(asked) != int(model.spikes):
            raise UnsupportedError(
                f"{model.name}: a derived kernel needs a step that calls `fire` "
                f"{'once' if model.spikes else 'never'}, this one calls it {len(asked)} times"
            )
        return (*following, out, *asked)

    return flat


def traced(
    owner: Stepping | Surrogate,
    function: Callable[..., Any],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> Program:
    """The program of a function of tensors; its owner is named in what cannot be derived."""
    programs = [_traced(owner, function, inputs, outputs, shape) for shape in SHAPES]
    if programs[0] != programs[1]:
        raise UnsupportedError(
            f"{owner.name}: what it computes depends on the number of samples or of neurons, which "
            f"a kernel does not know; make it a field of params; engine='reference' runs it"
        )
    return programs[0]


def apart(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function that traces in a thread, which has none of the caller's modes.

    Those are autocast, transforms, inference, devices, and what counts or records operations.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function, *arguments).result()


def _traced(
    owner: Stepping | Surrogate,
    function: Callable[..., Any],
    inputs: Sequence[str],
    outputs: Sequence[str],
    shape: tuple[int, int],
) -> Program:
    """The program as it is for arguments of one shape."""
    numbers = [0.5 + 0.01 * k for k in range(len(inputs))]
    examples = [torch.full(shape, n, dtype=torch.float32, device="cpu") for n in numbers]
    try:
        # A change in place changes its views too, which is written out as new values here.
        graph = make_fx(torch.func.functionalize(function))(*examples)
    except RuntimeError as error:  # what depends on a value, such as `if (v > 1).any()`
        raise UnsupportedError(f"{owner.name}: cannot be traced to a kernel: {error}") from error
    graph.graph.eliminate_dead_code()
    names: dict[fx.Node, Value] = {}
    truths: set[Value] = set()
    remaining = iter(inputs)
    ops: list[Op] = []
    results: list[Value] = []
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            names[node] = next(remaining)
        elif node.op == "get_attr":
            names[node] = _number(getattr(graph, node.target), owner)
        elif node.op == "output":
            nodes = node.args[0] if isinstance(node.args[0], (tuple, list)) else (node.args[0],)
            results = [
                names[r] if isinstance(r, fx.Node) else 0.0 if r is None else float(r)
                for r in nodes
            ]
        else:
            translated = _translate(node, names, truths)
            if translated is None:
                raise UnsupportedError(_complaint(owner, node, function, examples))
            if isinstance(translated, tuple):
                ops += translated
                truths |= {op.name for op in translated if op.truth}
                translated = translated[-1].name
            names[node] = translated
    return Program(tuple(inputs), tuple(ops), dict(zip(outputs, results)))


def _translate(
    node: fx.Node, names: dict[fx.Node, Value], truths: set[Value]
) -> tuple[Op, ...] | Value | None:
    """The operations of a node, or its value; None if it has no scalar form."""
    kind = str(node.target).removeprefix("aten.").split(".")[0]
    args: list[Any] = [names[a] if isinstance(a, fx.Node) else a for a in node.args]
    if kind in SAME:
        return args[0]  # type: ignore[no-any-return]
    dtype, name = _dtype(node), f"x_{node.name}"
    truth = dtype == torch.bool
    asked = {key: value for key, value in node.kwargs.items() if key not in STORAGE}
    mode = asked.pop("rounding_mode", None)
    if (
        dtype not in (torch.float32, torch.bool)
        or asked.pop("alpha", 1) != 1
        or any(asked.values())
    ):
        return None
    if kind in CASTS | FILLS.keys() | FULLS.keys():
        source: Any = args[0] if kind in CASTS else FILLS.get(kind)
        if kind in FULLS:
            source = args[FULLS[kind]]
        if not isinstance(source, str):
            return bool(source) if truth else float(source)
        if truth == (source in truths):
            return source
        if truth:
            return (Op(name, "ne", (source, 0.0), truth),)
        return (Op(name, "where", (source, 1.0, 0.0)),)
    if any(not isinstance(a, (str, int, float, type(None))) for a in args):
        return None
    args = [float(a) if type(a) is int else a for a in args]
    if kind == "clamp":
        value, low, high = (*args, None, None)[:3]
        lower = () if low is None else (Op(f"{name}_low", "maximum", (value, low)),)
        value = lower[0].name if lower else value
        return lower if high is None else (*lower, Op(name, "minimum", (value, high)))
    if kind == "masked_fill":
        return (Op(name, "where", (args[1], args[2], args[0]), truth),)
    if mode is not None:
        quotient = Op(f"{name}_exact", "div", tuple(args))
        return (quotient, Op(name, "trunc", (quotient.name,))) if mode == "trunc" else None
    if kind in ("relu", "rsub"):
        args = [args[0], 0.0] if kind == "relu" else [args[1], args[0], *args[2:]]
    kind = ELEMENTWISE.get(kind, "")
    if truth:
        kind = OF_TRUTHS.get(kind, kind if kind in COMPARISONS | LOGIC | {"where"} else "")
    known = kind and len(args) == OPERATIONS[kind].operands
    return (Op(name, kind, tuple(args), truth),) if known else None


def _dtype(node: fx.Node) -> torch.dtype | None:
    """The type of a node's result."""
    return getattr(node.meta.get("val"), "dtype", None)


def _number(value: Tensor, owner: Stepping | Surrogate) -> float | bool:
    if value.requires_grad:
        raise UnsupportedError(
            f"{owner.name}: a tensor made outside `step` that is trained cannot become a number "
            "of a kernel; make it a field of params"
        )
    if value.numel() != 1:
        raise UnsupportedError(
            f"{owner.name}: a tensor of shape {tuple(value.shape)} made outside `step` cannot "
            "become a kernel; make it a field of params"
        )
    if value.dim() and value.dtype not in (torch.float32, torch.bool):
        raise UnsupportedError(
            f"{owner.name}: a tensor of {value.dtype} made outside `step` cannot become a kernel; "
            "make it float32 or a plain number"
        )
    return bool(value) if value.dtype == torch.bool else float(value)


def _complaint(
    owner: Stepping | Surrogate,
    node: fx.Node,
    function: Callable[..., Any],
    examples: list[Tensor],
) -> str:
    """Which operation has no scalar form, and the line of the user's code that asked for it."""
    author = owner.derivative if isinstance(owner, Surrogate) else owner.step
    code = getattr(author, "__code__", None)
    dtype = _dtype(node)
    watch = _Lines(str(node.target), dtype, code.co_filename if code else "")
    with watch:
        function(*examples)
    where = f" (line {watch.line} of {Path(code.co_filename).name})" if code and watch.line else ""
    reason = "has no scalar form"
    if dtype not in (torch.float32, torch.bool):
        reason = (
            f"gives {dtype}, and a kernel has float32 and truth values only (torch.trunc, "
            "torch.floor and torch.round give whole numbers as float32)"
        )
    return (
        f"{owner.name}: no kernel can be derived, the operation {node.target}{where} {reason}; "
        "engine='reference' runs it"
    )


class _Lines(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers the line of a file that first asked for an operation, with a result of a type."""

    def __init__(self, operation: str, dtype: torch.dtype | None, filename: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operation = operation
        self.dtype = dtype
        self.filename = filename
        self.line: int | None = None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        asked = str(func).replace("_.", ".") == self.operation  # in place or not
        if asked and getattr(result, "dtype", None) == self.dtype and self.line is None:
            frame = sys._getframe()
            while frame is not None and frame.f_code.co_filename != self.filename:
                frame = frame.f_back  # type: ignore[assignment]
            self.line = frame.f_lineno if frame is not None else None
        return result
