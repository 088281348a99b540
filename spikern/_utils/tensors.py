"""Tensors as arrays of numpy."""

from __future__ import annotations

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
