"""Layers that run one after the other as one stack."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.parametrize import is_parametrized

from spikern._utils.errors import InputError
from spikern.layers.arguments import derives
from spikern.layers.connectivity import synapses_of
from spikern.layers.rnn import SpikingRNN


def stack_layers(layers: Sequence[SpikingRNN]) -> SpikingRNN:
    """Return one SpikingRNN that computes what layers compute one after the other, first to last.

    Each may be a stack itself. It has copies of their numbers, trained where theirs are. Raises
    InputError where a layer has feedback, skip connections, delays, dropout, experts or two
    directions, another dt than the first, or another input than the output of the one before it.

    >>> layers = [SpikingRNN("ALIF", 3, 8), SpikingRNN("LIF", 8, 5, recurrent=False)]
    >>> stack_layers(layers).hidden_sizes
    (8, 5)
    """
    if not layers:
        raise InputError("expected a list of one or more layers, got none")
    first, width = layers[0], layers[0].input_size
    for k, layer in enumerate(layers):
        if not layer.is_chain or layer.delayed or layer.dropout or layer.experts > 1:
            raise InputError(f"only chains of dense layers can be stacked; layer {k} is {layer}")
        dtype = layer.weight_ih_l0.dtype
        found = layer.input_size, layer.dt, dtype, layer.batch_first
        wanted = width, first.dt, first.weight_ih_l0.dtype, first.batch_first
        if found != wanted:
            names = "input_size, dt, dtype and batch_first"
            raise InputError(f"expected layer {k} with {names} of {wanted}, got {found}")
        width = layer.output_size
    tensors: dict[str, Tensor] = {}
    trained: dict[str, bool] = {}
    masks: list[bool | Tensor] = []
    for k, layer in enumerate(layers):
        if is_parametrized(layer) or derives(layer):
            raise InputError(
                f"layer {k} computes weights from others; make them its own first, by "
                f"prune.remove, remove_weight_norm, remove_spectral_norm or remove_parametrizations"
            )
        begin = len(masks)
        for name, value in [*layer.named_parameters(), *layer.named_buffers()]:
            moved = re.sub(r"\d+$", lambda k, begin=begin: str(begin + int(k[0])), name)  # type: ignore[misc]
            tensors[moved], trained[moved] = value.detach(), value.requires_grad
        masks += [_mask(layer, k) for k in range(layer.num_layers)]
    like = first.weight_ih_l0
    with torch.random.fork_rng(devices=[]):
        stack = SpikingRNN(
            [neuron for layer in layers for neuron in layer.neurons],
            first.input_size,
            [size for layer in layers for size in layer.hidden_sizes],
            bias=any(layer.bias for layer in layers),
            batch_first=first.batch_first,
            recurrent=masks,
            dt=first.dt,
            surrogate=[surrogate for layer in layers for surrogate in layer.surrogates],
            engine=first.engine_asked,
            device=like.device,
            dtype=like.dtype,
        )
    with torch.no_grad():
        for name, value in stack.state_dict(keep_vars=True).items():
            # a layer without bias gets one that is zero and stays zero
            value.copy_(tensors[name] if name in tensors else torch.zeros_like(value))
            value.requires_grad_(trained.get(name, False))
    return stack.train(first.training)


def _mask(layer: SpikingRNN, k: int) -> bool | Tensor:
    """The argument `recurrent` that gives the synapses of layer k."""
    if not hasattr(layer, f"weight_hh_l{k}"):
        return False
    synapses = synapses_of(layer, f"weight_hh_l{k}")
    if synapses is None:
        return True
    mask = torch.zeros(2 * [layer.hidden_sizes[k]])
    mask[synapses[:, 1].cpu(), synapses[:, 0].cpu()] = 1.0
    return mask
