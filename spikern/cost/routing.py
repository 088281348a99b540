"""Counts of a router: which groups are awake, and what it takes to choose them."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from spikern.cost.counts import Layer
from spikern.cost.synapses import Signal, connect, counted
from spikern.engines.experts import Router, route


def awake_groups(router: Router, x: Signal, valid: Tensor) -> Tensor:
    """The groups (T, B, E) that a signal wakes at the `valid` (T, B) steps."""
    return (route(router, x.values)[0] != 0).cpu() & valid.unsqueeze(2)


def with_router(layer: Layer, router: Router, x: Signal, valid: Tensor) -> Layer:
    """The counts of a layer with those of its router.

    Its scores are a connection, of a table too: an event looks up, or votes for, the groups that
    it names. To choose k of E groups takes k E - k (k + 1) / 2 comparisons, and none where one
    event looks them up in a table. Learned gains are a softmax of k scores, and scale the currents.
    """
    experts, k = len(router.weight), router.awake
    several = (x.values != 0).sum(2).cpu() > 1
    chosen = valid if router.learned or not x.spiking else valid & several
    comparisons = k * experts - k * (k + 1) // 2
    more = {"compare": tuple(comparisons * n for n in counted(chosen))}
    if router.learned:
        softmax = {"add": 2 * k - 1, "exp": k, "div": k, "mul": k}
        more |= {kind: tuple(n * u for u in layer.uses) for kind, n in softmax.items()}
        more["mul"] = tuple(map(sum, zip(more["mul"], layer.neuron_updates)))
    nothing = (0,) * len(layer.uses)
    both = (layer.arithmetic, more)
    arithmetic = {
        kind: tuple(map(sum, zip(*(part.get(kind, nothing) for part in both))))
        for kind in {**layer.arithmetic, **more}
    }
    scores = connect(x, layer.name, "router", router.weight, valid)
    return replace(layer, arithmetic=arithmetic, connections=(*layer.connections, scores))
