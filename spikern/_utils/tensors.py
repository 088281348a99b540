"""Tensors as arrays of numpy, and the precision that autocast gives them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def to_numpy(values: Tensor) -> NDArray[Any]:
    """The values on the CPU, without a gradient; bfloat16, which numpy lacks, as float32.

    >>> to_numpy(torch.ones(2, dtype=torch.bfloat16)).dtype
    dtype('float32')
    """
    found = values.detach().cpu()
    array: NDArray[Any] = (found.float() if found.dtype == torch.bfloat16 else found).numpy()
    return array


def under_autocast(device: torch.device) -> bool:
    """Whether autocast is on for a device; never on one that torch has none for, such as meta."""
    kind = device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """What to enter for operations in the precision of their tensors."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
