"""Which neurons of a SpikingRNN are connected: within a layer, and between its layers."""

from __future__ import annotations

import math
import warnings
from numbers import Real
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from spikern._utils.errors import InputError
from spikern._utils.numbers import check_numbers
from spikern.engines.population import existing_weights


class Connectivity(NamedTuple):
    """The synapses from the neurons of one layer to those of the same layer or the one below.

    exists   whether there are any
    mask     (to, from) bool: the pairs that are connected; None if it does not say
    density  the share of pairs, drawn at random, that are connected; None if it does not say
    title    the setting, for `repr`

    Without mask and density, all pairs are connected.
    """

    title: str
    exists: bool
    mask: Tensor | None = None
    density: float | None = None

    @property
    def is_full(self) -> bool:
        """Whether all pairs are connected, or none."""
        return self.mask is None and self.density is None


def connectivity_of(
    name: str, value: bool | str | float | Tensor, shape: tuple[int, ...]
) -> Connectivity:
    """Read the argument `name` (recurrent or feedback) of synapses of the shape (to, from).

    Raises InputError if the value is not True, False, "diagonal", a share, or a mask with synapses.
    """
    if isinstance(value, (bool, np.bool_)):
        return Connectivity(str(bool(value)), bool(value))
    if isinstance(value, (Tensor, np.ndarray)):
        value = torch.as_tensor(value)
        if bool(value.isnan().any()):
            raise InputError("a mask must hold numbers or truth values, got NaN")
        synapses = int(value.count_nonzero())
        if tuple(value.shape) != shape or not synapses:
            raise InputError(
                f"expected a mask of shape {shape} that leaves synapses, "
                f"got {tuple(value.shape)} with {synapses}"
            )
        return Connectivity(f"mask of {synapses}", True, value != 0)
    if value == "diagonal":
        if len(set(shape)) > 1:
            raise InputError(
                f"{name}='diagonal' pairs the neurons of layers of one width, got {shape}"
            )
        return Connectivity("diagonal", True, torch.eye(shape[0], dtype=torch.bool, device="cpu"))
    if isinstance(value, Real) and 0 < value <= 1:
        return Connectivity(f"{value:g}", True, density=float(value) if value < 1 else None)
    raise InputError(
        f"{name} must be True, False, 'diagonal', a share between 0 and 1 or a mask, got {value}"
    )


def draw_synapses(connectivity: Connectivity, shape: tuple[int, ...]) -> Tensor | None:
    """Return the synapses as (from, to), (N, 2) int64 ascending; None if all pairs are connected.

    `shape` is (to, from). A density is met to the exact number of synapses, so that layers of one
    density have tensors of one shape.
    """
    if connectivity.density is not None:
        pairs = math.prod(shape)
        number = max(1, round(connectivity.density * pairs))
        drawn = torch.randperm(pairs, device="cpu")[:number].sort().values
        return torch.stack([drawn // shape[0], drawn % shape[0]], 1)
    return None if connectivity.mask is None else connectivity.mask.T.nonzero()


def keep_synapses(weight: Tensor, synapses: Tensor) -> None:
    """Zero weight (to, from) where there is no synapse, in place; each neuron's drive is kept.

    For that, each neuron's row is scaled by sqrt(inputs / number of its synapses).
    """
    exists = torch.zeros_like(weight)
    exists[synapses[:, 1], synapses[:, 0]] = 1.0
    scale = (weight.shape[1] / exists.sum(1, keepdim=True).clamp(min=1.0)).sqrt()
    with torch.no_grad():
        weight.mul_(exists * scale)


def synapses_of(module: nn.Module, name: str) -> Tensor | None:
    """The synapses (N, 2) of a layer's weight matrix, as (from, to); None if it has all."""
    synapses: Tensor | None = getattr(module, name.replace("weight", "synapses"), None)
    return synapses


def existing_matrix(module: nn.Module, name: str) -> Tensor:
    """The weight matrix of a layer, of any kind, with 0 where there is no synapse.

    >>> from spikern import SpikingRNN
    >>> layer = SpikingRNN("LIF", 3, 4, recurrent="diagonal")
    >>> existing_matrix(layer, "weight_hh_l0").count_nonzero()
    tensor(4)
    """
    return existing_weights(getattr(module, name), synapses_of(module, name))


def check_layer_connections(
    layers: int, dropout: float, bidirectional: bool, feedback: bool, skip: bool
) -> None:
    """Raise InputError if settings of the connections between layers are wrong or conflict."""
    check_numbers(dropout=dropout)
    if not 0 <= dropout < 1:
        raise InputError(f"dropout must be at least 0 and below 1, got {dropout}")
    if dropout and layers == 1:
        warnings.warn(
            f"dropout={dropout} acts between layers and there is only one; give num_layers > 1",
            stacklevel=3,
        )
    if skip and layers == 1:
        raise InputError("skip leads past a layer to the one above it; give num_layers > 1")
    if not feedback:
        return
    if layers == 1:
        raise InputError("feedback leads from a layer to the one below it; give num_layers > 1")
    if dropout or bidirectional:
        setting = "dropout" if dropout else "bidirectional"
        raise InputError(
            f"a network with feedback is one population, all of whose layers advance together; "
            f"{setting} needs layers that run one after the other"
        )
