"""The arguments of a layer's call: checked at the boundary, and brought into one layout.

Every layout of an input becomes (T, B, F) on its way in, and the output returns to the layout of
the input. What is checked here is trusted by all code below.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from spikern._utils.errors import InputError
from spikern._utils.tensors import under_autocast
from spikern.events.trains import Events, Input, valid_steps

LayerInput = Tensor | Events | PackedSequence
"""(T, B, F), (B, T, F) with batch_first, (T, F) for one sample, events, or packed sequences."""
Lengths = Tensor | np.ndarray[Any, Any] | Sequence[int]
"""(B,), the valid steps of each sample."""
DERIVING = (BasePruningMethod, WeightNorm, SpectralNorm)
"""The hooks that compute a weight from others."""


def in_dtype(x: Any, dtype: torch.dtype) -> Any:
    """Return x in the dtype of the weights, under autocast and if it is events (float32).

    Events whose values are to have a gradient become dense, since lists of events pass none on.
    """
    if isinstance(x, Events):
        listed = not (x.values.requires_grad and torch.is_grad_enabled())
        return x if listed and dtype == torch.float32 else x.to_dense().to(dtype)
    autocast = isinstance(x, Tensor) and under_autocast(x.device)
    return x.to(dtype) if autocast and x.is_floating_point() else x


def values_are_known() -> bool:
    """Whether values can be asked for: not in torch.compile, nor in transforms of torch.func."""
    return not (torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active())


def runs_ahead(x: Tensor) -> bool:
    """Whether the program is ahead of the device: to ask it for a value would make both wait.

    On such a device a wrong value is found later, by an assertion of a kernel.
    """
    return x.is_cuda


def has_values(x: Tensor) -> bool:
    """Whether a tensor's values can be asked for at no cost."""
    return not (x.is_meta or runs_ahead(x))


def can_be_asked(x: Tensor) -> bool:
    """Whether a tensor's values can be asked for here, at no cost."""
    return values_are_known() and has_values(x)


def check_finite(tensors: Mapping[str, Tensor], hint: str) -> None:
    """Raise InputError for a tensor, known by its name, that holds NaN or infinite values.

    A NaN is above no threshold, so a network that has one would be silent.
    """
    if not values_are_known():
        return
    for name, value in tensors.items():
        known = value.detach()
        message = f"{name} holds NaN or infinite values; {hint}"
        if runs_ahead(known):
            torch._assert_async(torch.isfinite(known).all(), message)
        elif has_values(known) and not _are_finite(known):
            raise InputError(message)


def _are_finite(value: Tensor) -> bool:
    """Whether no value is NaN or infinite; a sum, which is fast, mostly says so."""
    return math.isfinite(float(value.sum())) or bool(torch.isfinite(value).all())


def check_device(device: torch.device, values: Mapping[str, Input]) -> None:
    """Raise InputError for a value, known by its name, that is not where the weights are."""
    for name, value in values.items():
        tensor = value.values if isinstance(value, Events) else value
        if isinstance(tensor, Tensor) and tensor.device != device:
            raise InputError(
                f"expected {name} on {device} like the weights, got {tensor.device}; move it or "
                "the layer (to)"
            )


def check_weights(module: nn.Module) -> None:
    """Refresh the weights of a module; InputError for a parameter or a buffer that is not finite.

    All code that reads weights without a call of the module calls this first.
    """
    refresh(module)
    hint = "it diverged in training, or was set so"
    check_finite(dict(module.named_parameters()) | dict(module.named_buffers()), hint)


def is_weight(name: str) -> bool:
    """Whether a parameter of this name is a weight, and no bias or constant.

    >>> [is_weight(name) for name in ("body.weight_hh_l0", "readout.weight", "raw_weight_scale_l0")]
    [True, True, False]
    """
    return re.search(r"(^|\.)weight", name) is not None


def derives(module: nn.Module) -> bool:
    """Whether a hook computes weights of a module from others, as pruning and weight_norm do."""
    return any(isinstance(hook, DERIVING) for hook in module._forward_pre_hooks.values())


def computes_weights(module: nn.Module) -> bool:
    """Whether a hook or a parametrization computes weights of a module or its parts."""
    return any(is_parametrized(part) or derives(part) for part in module.modules())


def refresh(module: nn.Module) -> None:
    """Compute the weights that hooks of a module and its parts derive from others, as of now.

    torch does so in a call of each part alone.
    """
    for part in module.modules():
        for hook in part._forward_pre_hooks.values():
            if isinstance(hook, DERIVING):
                hook(part, ())


def check_input(x: Input, features: int, dtype: torch.dtype) -> None:
    """Require a finite tensor (T, B, F) with at least one step and one sample, or events."""
    if not isinstance(x, (Tensor, Events)):
        raise InputError(f"expected a torch tensor or Events, got {type(x).__name__}")
    if isinstance(x, Tensor) and (x.layout != torch.strided or x.is_nested):
        kind = "nested" if x.is_nested else str(x.layout)
        raise InputError(f"expected a dense tensor, got a {kind} one; give x.to_dense() or Events")
    if len(x.shape) != 3 or x.shape[2] != features:
        raise InputError(f"expected input of shape (T, B, {features}), got {tuple(x.shape)}")
    if isinstance(x, Events):
        return
    if x.dtype != dtype:
        raise InputError(
            f"expected input of dtype {dtype} like the weights, got {x.dtype}; "
            "convert the input (x.to) or the layer (layer.to)"
        )
    if x.shape[0] == 0 or x.shape[1] == 0:
        raise InputError(f"empty input: {x.shape[0]} steps and {x.shape[1]} samples")
    check_finite({"the input": x}, "clean or mask it first")


def as_lengths(lengths: Any) -> Tensor:
    """Return lengths, as a list, an array or a tensor, as a tensor of int64.

    >>> as_lengths([3, 2])
    tensor([3, 2])
    """
    try:
        found = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"expected lengths as whole numbers, got {lengths}: {error}") from error
    if found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        raise InputError(f"expected lengths as whole numbers, got dtype {found.dtype}")
    return found.to(torch.int64)


def check_lengths(lengths: Tensor, steps: int, batch: int) -> None:
    """Require one whole number per sample, between 1 and the number of steps."""
    if lengths.shape != (batch,):
        raise InputError(
            f"expected lengths as {batch} whole numbers, one per sample, got shape "
            f"{tuple(lengths.shape)}"
        )
    if not values_are_known():
        return
    if lengths.is_meta:
        return
    if runs_ahead(lengths):
        inside = ((lengths >= 1) & (lengths <= steps)).all()
        torch._assert_async(inside, f"lengths must lie in 1..{steps}")
        return
    low, high = int(lengths.min()), int(lengths.max())
    if low < 1 or high > steps:
        raise InputError(f"lengths must lie in 1..{steps}, got {low}..{high}")


def is_single(x: LayerInput) -> TypeGuard[Tensor]:
    """Whether x is one sample without a batch, (T, F)."""
    return isinstance(x, Tensor) and not x.is_nested and x.ndim == 2


def to_time_first(
    x: LayerInput, lengths: Lengths | None, batch_first: bool
) -> tuple[Input, Tensor | None]:
    """Return x as (T, B, F) and its lengths (B,); packed sequences bring their own lengths.

    >>> x = torch.nn.utils.rnn.pack_sequence([torch.ones(3, 1), torch.ones(2, 1)])
    >>> padded, lengths = to_time_first(x, None, batch_first=True)
    >>> padded.shape, lengths
    (torch.Size([3, 2, 1]), tensor([3, 2]))
    """
    if isinstance(x, PackedSequence):
        if lengths is not None:
            raise InputError("a PackedSequence holds its own lengths; leave lengths= out")
        padded, own = pad_packed_sequence(x)
        return padded, own.to(padded.device)
    lengths = None if lengths is None else as_lengths(lengths)
    if is_single(x):
        return x.unsqueeze(1), None if lengths is None else lengths.reshape(-1)
    if isinstance(x, Tensor) and not x.is_nested and x.ndim == 3 and batch_first:
        return x.transpose(0, 1), lengths
    return x, lengths


def to_layout_of(x: LayerInput, out: Tensor, batch_first: bool) -> Tensor | PackedSequence:
    """Return an output (T, B, H) in the layout of x."""
    if isinstance(x, PackedSequence):
        if x.sorted_indices is not None:
            out = out.index_select(1, x.sorted_indices)
        # batch_sizes are the valid samples of each step: the mask's transpose.
        present = valid_steps(x.batch_sizes, out.shape[1]).T.to(out.device)
        return PackedSequence(out[present], x.batch_sizes, x.sorted_indices, x.unsorted_indices)
    if is_single(x):
        return out.squeeze(1)
    return out.transpose(0, 1) if batch_first and isinstance(x, Tensor) else out


def reversed_in_time(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Return x (T, B, F) with the valid steps of every sample reversed; padding stays in place.

    >>> x = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    >>> reversed_in_time(x, torch.tensor([2])).flatten()
    tensor([2., 1., 3.])
    """
    if lengths is None:
        return x.flip(0)
    steps = torch.arange(len(x), device=x.device).unsqueeze(1)
    source = torch.where(steps < lengths, lengths - 1 - steps, steps)
    return x.gather(0, source.unsqueeze(2).expand_as(x))
