"""A NIR graph as a chain of populations; what is no such chain is refused by the node's name."""

from __future__ import annotations

from typing import Any, NamedTuple

from spikern._utils.errors import UnsupportedError

WEIGHTS = ("Affine", "Linear")
NEURONS = ("LIF", "CubaLIF", "LI")


class Link(NamedTuple):
    """Weights, the neuron that they lead to, and its recurrent weights; a last one may lack it."""

    weights: Any
    neuron_name: str
    neuron: Any | None
    recurrent: Any | None


class Flat(NamedTuple):
    """Nodes by name and the edges between them, without subgraphs."""

    nodes: dict[str, Any]
    edges: list[tuple[str, str]]

    def after(self, name: str) -> list[str]:
        """The nodes that an edge leads to."""
        return [b for a, b in self.edges if a == name]

    def before(self, name: str) -> list[str]:
        """The nodes that an edge comes from."""
        return [a for a, b in self.edges if b == name]


def chain(graph: Any) -> list[Link]:
    """Input -> weights -> neuron (-> recurrent weights -> the same neuron) -> ... -> Output."""
    flat = flatten(graph)
    inputs = [name for name, node in flat.nodes.items() if _kind(node) == "Input"]
    outputs = [name for name, node in flat.nodes.items() if _kind(node) == "Output"]
    if len(inputs) != 1 or len(outputs) != 1:
        raise UnsupportedError(
            f"expected one Input and one Output, got {len(inputs)} and {len(outputs)}"
        )
    links: list[Link] = []
    seen = {inputs[0], outputs[0]}
    at = _one(flat.after(inputs[0]), inputs[0])
    while at != outputs[0]:
        weights = _of(flat, at, WEIGHTS)
        seen.add(at)
        neuron_name = _one(flat.after(at), at)
        if neuron_name == outputs[0]:
            links.append(Link(weights, at, None, None))
            break
        neuron = _of(flat, neuron_name, NEURONS)
        loops = [w for w in flat.after(neuron_name) if flat.after(w) == [neuron_name]]
        for loop in loops:
            _of(flat, loop, WEIGHTS)
        if len(loops) > 1 or set(flat.before(neuron_name)) != {at, *loops} or neuron_name in loops:
            raise UnsupportedError(
                f"node '{neuron_name}' is reached from {flat.before(neuron_name)}; expected one "
                f"Affine or Linear, and at most one more that comes back from it"
            )
        seen |= {neuron_name, *loops}
        links.append(Link(weights, neuron_name, neuron, flat.nodes[loops[0]] if loops else None))
        at = _one([b for b in flat.after(neuron_name) if b not in loops], neuron_name)
    left = sorted(set(flat.nodes) - seen)
    if left or not links:
        raise UnsupportedError(f"nodes {left or list(flat.nodes)} are no chain of populations")
    return links


def flatten(graph: Any) -> Flat:
    """The graph with its subgraphs put in place; their Input and Output nodes disappear."""
    nodes: dict[str, Any] = {}
    edges = [(str(a), str(b)) for a, b in graph.edges]
    wires: list[str] = []
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
        wires += ends.values()
    flat = Flat(nodes, edges)
    for wire in wires:
        through = [(a, b) for a in flat.before(wire) for b in flat.after(wire)]
        flat = Flat(nodes, [e for e in flat.edges if wire not in e] + through)
    return flat


def _one(names: list[str], node: str) -> str:
    if len(names) != 1:
        raise UnsupportedError(f"node '{node}' leads to {names}; expected one node")
    return names[0]


def _of(flat: Flat, name: str, kinds: tuple[str, ...]) -> Any:
    node = flat.nodes[name]
    if _kind(node) not in kinds:
        raise UnsupportedError(f"node '{name}' is {_kind(node)}; expected {' or '.join(kinds)}")
    return node


def _kind(node: Any) -> str:
    return type(node).__name__
