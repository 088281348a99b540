"""NIR graphs as chains of populations; any other graph is refused."""

from __future__ import annotations

from typing import Any, NamedTuple

from spikern._utils.errors import UnsupportedError

WEIGHTS = ("Affine", "Linear")
NEURONS = ("LIF", "CubaLIF", "LI")


class Stage(NamedTuple):
    """Weights, the neuron they lead to, and its recurrent weights; the last may have no neuron."""

    weights: Any
    neuron_name: str
    neuron: Any | None
    recurrent: Any | None


class Flat(NamedTuple):
    """Nodes by name and the edges between them, without subgraphs."""

    nodes: dict[str, Any]
    edges: list[tuple[str, str]]

    def after(self, name: str) -> list[str]:
        """Return the nodes to which edges lead from `name`."""
        return [b for a, b in self.edges if a == name]

    def before(self, name: str) -> list[str]:
        """Return the nodes from which edges lead to `name`."""
        return [a for a, b in self.edges if b == name]


def chain(graph: Any) -> list[Stage]:
    """Return the stages of Input -> weights -> neuron (<-> recurrent weights) -> ... -> Output.

    Raises UnsupportedError naming the node that does not fit.
    """
    flat = flatten(graph)
    inputs = [name for name, node in flat.nodes.items() if _kind(node) == "Input"]
    outputs = [name for name, node in flat.nodes.items() if _kind(node) == "Output"]
    if len(inputs) != 1 or len(outputs) != 1:
        raise UnsupportedError(
            f"expected one Input and one Output, got {len(inputs)} and {len(outputs)}"
        )
    stages: list[Stage] = []
    seen = {inputs[0], outputs[0]}
    previous, at = inputs[0], _only(flat.after(inputs[0]), inputs[0])
    while at != outputs[0]:
        weights = _node(flat, at, WEIGHTS)
        if flat.before(at) != [previous]:
            raise UnsupportedError(
                f"node '{at}' is reached from {flat.before(at)}; expected '{previous}' alone"
            )
        seen.add(at)
        neuron_name = _only(flat.after(at), at)
        if neuron_name == outputs[0]:
            stages.append(Stage(weights, at, None, None))
            break
        neuron = _node(flat, neuron_name, NEURONS)
        loops = [w for w in flat.after(neuron_name) if flat.after(w) == [neuron_name]]
        for loop in loops:
            _node(flat, loop, WEIGHTS)
        if len(loops) > 1 or set(flat.before(neuron_name)) != {at, *loops} or neuron_name in loops:
            raise UnsupportedError(
                f"node '{neuron_name}' is reached from {flat.before(neuron_name)}; expected one "
                f"Affine or Linear, and at most one more that comes back from it"
            )
        seen |= {neuron_name, *loops}
        stages.append(Stage(weights, neuron_name, neuron, flat.nodes[loops[0]] if loops else None))
        following = [b for b in flat.after(neuron_name) if b not in loops]
        previous, at = neuron_name, _only(following, neuron_name)
    left = sorted(set(flat.nodes) - seen)
    if left or not stages:
        raise UnsupportedError(f"nodes {left or list(flat.nodes)} are not a chain of populations")
    return stages


def flatten(graph: Any) -> Flat:
    """Return the graph with its subgraphs inlined, without their Input and Output nodes."""
    nodes: dict[str, Any] = {}
    edges = [(str(a), str(b)) for a, b in graph.edges]
    ports: list[str] = []
    for name, node in graph.nodes.items():
        if _kind(node) != "NIRGraph":
            nodes[name] = node
            continue
        inner = flatten(node)
        ends = {"Input": f"{name}.in", "Output": f"{name}.out"}
        renamed = {n: ends.get(_kind(v), f"{name}.{n}") for n, v in inner.nodes.items()}
        nodes |= {renamed[n]: v for n, v in inner.nodes.items() if _kind(v) not in ends}
        edges = [
            (ends["Output"] if a == name else a, ends["Input"] if b == name else b)
            for a, b in edges
        ] + [(renamed[a], renamed[b]) for a, b in inner.edges]
        ports += ends.values()
    flat = Flat(nodes, edges)
    for port in ports:
        through = [(a, b) for a in flat.before(port) for b in flat.after(port)]
        flat = Flat(nodes, [e for e in flat.edges if port not in e] + through)
    return flat


def _only(names: list[str], node: str) -> str:
    """Return the only one of the names after `node`."""
    if len(names) != 1:
        raise UnsupportedError(f"node '{node}' leads to {names}; expected one node")
    return names[0]


def _node(flat: Flat, name: str, kinds: tuple[str, ...]) -> Any:
    """Return a node, which must be of one of the kinds."""
    node = flat.nodes.get(name)
    if _kind(node) not in kinds:
        raise UnsupportedError(f"node '{name}' is {_kind(node)}; expected {' or '.join(kinds)}")
    return node


def _kind(node: Any) -> str:
    return type(node).__name__
