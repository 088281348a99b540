"""Checkpoints: one safetensors file, tensors by dotted name, everything else in its header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from spikern._utils import atomic
from spikern._utils.errors import DataError

FORMAT = "1"


def write(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and a JSON-able header, atomically."""
    meta = {"format": FORMAT, "header": json.dumps(header)}
    atomic.write(path, save({k: v.detach().contiguous() for k, v in tensors.items()}, meta))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the header of a file that `write` made."""
    header = read_header(path)
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118


def read_header(path: Path) -> dict[str, Any]:
    """The header alone, which takes no time for a file of any size."""
    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"cannot read the checkpoint {path}: {error}; delete it to start anew"
        ) from error
    if meta.get("format") != FORMAT:
        raise DataError(
            f"{path} has checkpoint format {meta.get('format')}, this version reads {FORMAT}; "
            f"open it with the version that wrote it"
        )
    return dict(json.loads(meta["header"]))


def pack(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Put a prefix before every name."""
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


def unpack(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose name has the prefix, without it."""
    return {k[len(prefix) + 1 :]: v for k, v in tensors.items() if k.startswith(prefix + ".")}


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An Adam optimizer's running means, as <parameter>.<name>."""
    state = optimizer.state_dict()["state"]
    return {f"{k}.{name}": v for k, values in state.items() for name, v in values.items()}


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give an optimizer back what `pack_optimizer` took from it."""
    whole = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".")
        state.setdefault(int(index), {})[key] = value
    whole["state"] = state
    optimizer.load_state_dict(whole)
