"""The Neuromorphic Intermediate Representation (NIR): networks as graphs, in files of its format.

    write_nir(path, to_nir(network))          network_from_nir(read_nir(path))

NIR has differential equations, a layer has steps of dt. A step is the exact solution for a current
that is constant over it (`exponential`); `euler` reads a graph as do libraries that step with
alpha = 1 - dt / tau. A spike is a current of 1 for one step. Recurrence is a loop in the graph;
here it takes one step.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikern._utils import atomic, foreign
from spikern._utils.choices import check_choice, check_type
from spikern._utils.errors import DataError, InputError, UnsupportedError
from spikern._utils.packages import require
from spikern._utils.tensors import to_numpy
from spikern.interop.nir_graph import Stage, chain
from spikern.interop.nir_nodes import MS, Scheme, layer_of, losses, node_of
from spikern.layers.arguments import check_weights
from spikern.layers.connectivity import existing_matrix, synapses_of
from spikern.layers.network import ANSWERS, Answer, Network
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.layers.stacking import stack_layers

FORMAT = 1
"""Version of the metadata that `to_nir` writes: dt in seconds, format, a network's answer, and the
neurons, parted by commas, whose recurrent weights of zero are no synapses."""


def to_nir(model: SpikingRNN | Network, lossy: bool = False) -> Any:
    """Convert a layer or a network to a nir.NIRGraph.

    NIR has nodes for HardLIF, HardCubaLIF and LI. LIF, CubaLIF and ALIF are refused; with `lossy`
    they are written as the nearest node, and a warning names what is lost. Surrogate, engine and
    which constants are trained are never part of a graph.

    Raises UnsupportedError for what NIR cannot express.

    >>> from spikern.neurons import HardLIF
    >>> to_nir(SpikingRNN(HardLIF, 3, 8)).edges
    [('input', 'w_in_0'), ('w_in_0', 'lif_0'), ('lif_0', 'w_rec_0'), ('w_rec_0', 'lif_0'), \
('lif_0', 'output')]
    """
    nir = require("nir", "nir")
    check_type("model", model, SpikingRNN, Network)
    check_weights(model)
    body = model.body if isinstance(model, Network) else model
    if not isinstance(body, SpikingRNN):
        raise UnsupportedError(f"NIR has no node for {type(body).__name__}")
    parts: list[SpikingRNN] = [body]
    if isinstance(model, Network) and isinstance(model.readout, Readout):
        parts.append(model.readout)
    for part in parts:
        for what, has in [
            ("feedback between layers", part.feedback),
            ("a layer backward in time", part.bidirectional),
            ("a skip connection", part.skip),
            ("an axon that takes several steps", part.delayed),
            ("a layer of experts", part.experts > 1),
        ]:
            if has:
                raise UnsupportedError(f"{what} is not written to NIR; only a chain of layers is")
        for neuron in {neuron.name: neuron for neuron in part.neurons}.values():
            lost = losses(neuron)
            if lost and not lossy:
                raise UnsupportedError(
                    f"NIR cannot say all of {neuron.name} and would lose {lost}; "
                    f"pass lossy=True to write it all the same"
                )
            if lost:
                warnings.warn(f"{neuron.name} in NIR loses {lost}", stacklevel=2)
    nodes: dict[str, Any] = {"input": nir.Input(input_type=np.array([body.input_size]))}
    edges: list[tuple[str, str]] = []
    sparse: list[str] = []
    last = "input"

    def add(name: str, node: Any) -> None:
        nonlocal last
        nodes[name] = node
        edges.append((last, name))
        last = name

    for part in parts:
        if part.dt != body.dt:
            raise UnsupportedError(
                f"a NIR graph has one dt; the body has {body.dt:g} ms and the readout "
                f"{part.dt:g} ms; make them with the same"
            )
        for k in range(part.num_layers):
            number = "" if k == part.num_layers - 1 else f"_{k}"
            own = (f"w_in_{k}", f"lif_{k}", f"w_rec_{k}")
            of_readout = (f"w_out{number}", f"readout{number}", f"w_rec_out{number}")
            w_in, lif, w_rec = own if part is body else of_readout
            bias = getattr(part, f"bias_l{k}") if part.bias else None
            add(w_in, _weights(getattr(part, f"weight_ih_l{k}"), bias))
            add(lif, node_of(part, k))
            if synapses_of(part, f"weight_hh_l{k}") is not None:
                sparse.append(lif)
            if hasattr(part, f"weight_hh_l{k}"):
                nodes[w_rec] = _weights(existing_matrix(part, f"weight_hh_l{k}"), None)
                edges += [(lif, w_rec), (w_rec, lif)]
    metadata: dict[str, Any] = {"dt": body.dt / MS, "spikern_format": FORMAT}
    if sparse:
        metadata["sparse"] = ",".join(sparse)
    if isinstance(model, Network):
        metadata["answer"] = model.answer
        if isinstance(model.readout, nn.Linear):
            add("w_out", _weights(model.readout.weight, model.readout.bias))
    add("output", nir.Output(output_type=nodes[last].output_type["output"]))
    return nir.NIRGraph(nodes=nodes, edges=edges, metadata=metadata)


def from_nir(
    graph: Any, dt: float | None = None, scheme: Scheme = "exponential", **settings: Any
) -> list[SpikingRNN]:
    """Convert the populations of a graph, first to last, to layers that run one after the other.

    The graph is a chain: Affine or Linear, then LIF, CubaLIF or LI, optionally with a loop through
    an Affine or Linear, as nodes or in a nested graph. `dt` in ms defaults to that of the metadata.
    `settings` (surrogate, engine) go to every layer.

    Raises UnsupportedError naming the node that has no equal here, InputError without a dt.

    >>> from spikern.neurons import HardLIF
    >>> layers = from_nir(to_nir(SpikingRNN(HardLIF, 3, 8, num_layers=2, dt=0.5)))
    >>> [(layer.input_size, layer.hidden_size, layer.dt) for layer in layers]
    [(3, 8, 0.5), (8, 8, 0.5)]
    """
    stages = chain(graph)
    if stages[-1].neuron is None:
        raise UnsupportedError("the graph ends in weights; read it with network_from_nir")
    return _populations(graph, stages, dt, scheme, settings)


def network_from_nir(
    graph: Any,
    answer: Answer | None = None,
    dt: float | None = None,
    scheme: Scheme = "exponential",
    **settings: Any,
) -> Network:
    """Convert a graph that ends in an LI or in weights to a network.

    The populations before its end become one SpikingRNN. `answer` defaults to that of the metadata.
    """
    stages = chain(graph)
    if all(stage.neuron is None for stage in stages):
        raise UnsupportedError("the graph has no neurons; a network has a population that fires")
    answer = answer or graph.metadata.get("answer")
    if answer is None:
        raise InputError(f"the graph does not say its answer; pass one of {', '.join(ANSWERS)}")
    check_choice("answer", answer, ANSWERS)
    readout: Readout | nn.Linear
    if stages[-1].neuron is None:
        layers = _populations(graph, stages[:-1], dt, scheme, settings)
        weight, bias = _tensors(stages[-1].weights, layers[-1].hidden_size if layers else None)
        readout = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, dtype=weight.dtype)
        with torch.no_grad():
            readout.weight.copy_(weight)
            if bias is not None:
                readout.bias.copy_(bias)
    else:
        *layers, last = _populations(graph, stages, dt, scheme, settings)
        if not layers:
            raise UnsupportedError("a network has a population that fires; read it with from_nir")
        if not isinstance(last, Readout):
            raise UnsupportedError("a network ends in an LI or in weights; read it with from_nir")
        readout = last
    return Network(stack_layers(layers), readout, answer)


def write_nir(path: Path | str, graph: Any) -> None:
    """Write a graph in nir's file format, atomically."""
    buffer = io.BytesIO()
    require("nir", "nir").write(buffer, graph)
    atomic.write(Path(path), buffer.getvalue())


def read_nir(path: Path | str) -> Any:
    """Read a graph that any library wrote, of this or an older version of nir.

    Raises DataError with nir's own reason for a file that it cannot read, and for one of a newer
    major version. A newer minor version is read with a warning. So are neurons without v_reset,
    as nir wrote them until 1.0.5: a spike subtracted v_threshold then, and nir now sets v to 0.
    """
    nir = require("nir", "nir")
    with foreign.hdf5(path) as file:
        written = file["version"].asstr()[()] if "version" in file else "0"
        theirs, ours = (tuple(map(int, v.split(".")[:2])) for v in (written, nir.version))
        content = nir.serialization.hdf2dict(file["node"])
        names: list[str] = []
        file["node"].visit(names.append)
    if theirs[0] > ours[0]:
        raise DataError(
            f"{path} was written by nir {written}, installed is {nir.version}; "
            f"pip install 'nir=={theirs[0]}.*', or write it again with nir {ours[0]}"
        )
    if theirs > ours:
        warnings.warn(
            f"{path} was written by nir {written}, installed is {nir.version}; "
            f"if its nodes are not known, pip install 'nir>={written}'",
            stacklevel=2,
        )
    spiking = {name.removesuffix("/v_threshold") for name in names if name.endswith("/v_threshold")}
    if unset := sorted(node for node in spiking if f"{node}/v_reset" not in names):
        warnings.warn(
            f"{path}: {', '.join(unset)} without v_reset, which is taken as 0; written by nir "
            f"{written}, a spike may have meant to subtract v_threshold",
            stacklevel=2,
        )
    try:
        # nir's check of types refuses what from_nir can read, such as an Output (1, 1, H).
        graph = nir.dict2NIRNode(content | {"type_check": False})
        graph.validate_structure()
    except Exception as error:
        raise DataError(
            f"{path}, written by nir {written}, holds no graph that nir {nir.version} can read: "
            f"{str(error) or type(error).__name__}"
        ) from error
    return graph


def _populations(
    graph: Any, stages: list[Stage], dt: float | None, scheme: Scheme, settings: dict[str, Any]
) -> list[SpikingRNN]:
    """Convert the stages of a graph, all with a neuron, to layers."""
    check_choice("scheme", scheme, ("exponential", "euler"))
    written = graph.metadata.get("spikern_format", FORMAT)
    if written != FORMAT:
        raise DataError(
            f"the graph has spikern's format {written}, this version reads {FORMAT}; "
            f"open it with the version that wrote it"
        )
    if dt is None:
        if "dt" not in graph.metadata:
            raise InputError("the graph's metadata has no dt; pass dt in ms")
        dt = float(f"{float(graph.metadata['dt']) * MS:.12g}")
    sparse_ones = str(graph.metadata.get("sparse", "")).split(",")
    layers: list[SpikingRNN] = []
    for weights, name, node, recurrent in stages:
        w_in, bias = _tensors(weights, layers[-1].hidden_size if layers else None)
        w_rec = None
        if recurrent is not None:
            if type(node).__name__ == "LI":
                raise UnsupportedError(f"node '{name}' is a recurrent LI; an LI never fires")
            w_rec, more = _tensors(recurrent, len(w_in), len(w_in))
            bias = more if bias is None else bias if more is None else bias + more
        sparse = name in sparse_ones
        layers.append(layer_of(node, name, w_in, bias, w_rec, dt, scheme, sparse, **settings))
    return layers


def _weights(weight: Tensor, bias: Tensor | None) -> Any:
    """Return the nir.Affine, or nir.Linear without bias, of a weight (to, from)."""
    nir = require("nir", "nir")
    w = to_numpy(weight).copy()
    if bias is None:
        return nir.Linear(weight=w)
    return nir.Affine(weight=w, bias=to_numpy(bias).copy())


def _tensors(
    node: Any, of: int | None = None, to: int | None = None
) -> tuple[Tensor, Tensor | None]:
    """Return weight (to, of) and bias (to,) of a nir.Affine or nir.Linear."""
    weight = torch.from_numpy(np.array(node.weight))
    bias = getattr(node, "bias", None)
    given = [weight] if bias is None else [weight, torch.from_numpy(np.array(bias)).to(weight)]
    wanted = (to or weight.shape[0], of or weight.shape[-1]) if weight.ndim else ()
    shapes = [tuple(tensor.shape) for tensor in given]
    if shapes not in ([wanted], [wanted, wanted[:1]]):
        raise UnsupportedError(f"expected weights {wanted} and a bias or none, got {shapes}")
    if not all(t.is_floating_point() and bool(t.isfinite().all()) for t in given):
        raise UnsupportedError(f"expected finite weights and biases, got others in {weight.dtype}")
    return weight, given[1] if len(given) > 1 else None
