"""Counts of a router: who is awake, what it takes to choose them, and what sleep costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from spikern.cost.counts import Layer, Steps, by_kind
from spikern.cost.synapses import Signal, connect, counted, one_step_later
from spikern.engines.codegen.operations import sleep_ops
from spikern.engines.experts import Router, route
from spikern.neurons.model import NeuronModel


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
    scores = connect(x, layer.name, "router", router.weight, valid)
    layer = _with_arithmetic(layer, more)
    woken_by = None if router.learned or not x.spiking else scores.source
    return replace(layer, connections=(*layer.connections, scores), woken_by=woken_by)


def with_decay(
    layer: Layer, model: NeuronModel, x: Signal, own: Signal, awake: Tensor, valid: Tensor
) -> Layer:
    """The counts of a layer with those of its neurons' decay, (T, B, E) of which were awake.

    A group that wakes makes up for the steps that it slept, each without a current: the first one
    for those that had fired with their reset. The steps of a group that never wakes cost nothing.
    Spikes cause the resets and, where x are spikes of a layer, all of it: without any, the same
    groups stay awake.
    """
    members = layer.units // awake.shape[2]
    fired = (one_step_later(own).values != 0).cpu()
    fired = fired.view(*awake.shape, members).sum(3)
    slept = torch.zeros_like(fired[0])
    resets = torch.zeros_like(slept)
    reset, asleep = [], []
    for woken, spikes, there in zip(awake, fired, valid.cpu()):
        resets = torch.where(~woken & (slept == 0), spikes, resets)
        reset.append(int((resets * (woken & (slept > 0))).sum()))
        asleep.append(members * int((slept * woken).sum()))
        slept = torch.where(woken, 0, slept + there.unsqueeze(1))
    without, with_reset = sleep_ops(model, False), sleep_ops(model, True)
    decay = {kind: tuple(n * t for t in asleep) for kind, n in without.items()}
    more = {kind: n - without.get(kind, 0) for kind, n in with_reset.items()}
    by_resets = {kind: tuple(n * t for t in reset) for kind, n in more.items() if n}
    both = by_kind(decay, by_resets)
    hidden = x.spiking and x.source != "input"
    return replace(_with_arithmetic(layer, both), caused=both if hidden else by_resets)


def _with_arithmetic(layer: Layer, more: Mapping[str, Steps]) -> Layer:
    """The layer with more operations of its units, by kind."""
    return replace(layer, arithmetic=by_kind(layer.arithmetic, more))
