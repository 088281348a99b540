"""Checkpoints: one safetensors file, tensors by dotted name, everything else in its header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikern._utils import tensor_file
from spikern._utils.errors import DataError, UnsupportedError

FORMAT = "1"
ADAMS = (torch.optim.Adam, torch.optim.AdamW)


def write(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and a JSON-able header, atomically and with a digest."""
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    text = json.dumps(header, default=_plain)
    tensor_file.write(path, arrays, {"format": FORMAT, "header": text})


def _plain(value: Any) -> Any:
    """A number of numpy as one of Python; others cannot be written."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the header of a file that `write` made. Raises DataError if it is corrupt."""
    try:
        arrays, entries = tensor_file.read(path)
    except DataError as error:
        raise DataError(f"cannot read the checkpoint: {error}") from error
    return {name: torch.from_numpy(a) for name, a in arrays.items()}, _header(path, entries)


def read_header(path: Path) -> dict[str, Any]:
    """The header alone, which takes no time for a file of any size."""
    return _header(path, tensor_file.read_header(path))


def _header(path: Path, entries: Mapping[str, str]) -> dict[str, Any]:
    if entries.get("format") != FORMAT:
        raise DataError(
            f"{path} has checkpoint format {entries.get('format')}, this version reads {FORMAT}; "
            f"open it with the version that wrote it"
        )
    try:
        return dict(json.loads(entries["header"]))
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path} has no header of a checkpoint: {error}") from error


def pack(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Put a prefix before every name."""
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


def unpack(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose name has the prefix, without it."""
    return {k[len(prefix) + 1 :]: v for k, v in tensors.items() if k.startswith(prefix + ".")}


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimizer remembers, as <parameter>.<name>; an Adam's is zero without a gradient."""
    state = optimizer.state_dict()["state"]
    held = {f"{k}.{name}": v for k, values in state.items() for name, v in values.items()}
    if odd := [name for name, value in held.items() if not isinstance(value, Tensor | None)]:
        raise UnsupportedError(
            f"{type(optimizer).__name__} remembers {odd[0]} as {type(held[odd[0]]).__name__}, and "
            f"a checkpoint holds tensors; train without checkpoint=, or with another optimizer"
        )
    return moments(optimizer) | {name: v for name, v in held.items() if v is not None}


def moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The running means of all parameters before an Adam's first update; of others, nothing."""
    if not isinstance(optimizer, ADAMS):
        return {}
    amsgrad = [group["amsgrad"] for group in optimizer.param_groups for _ in group["params"]]
    return {
        f"{k}.{name}": torch.zeros_like(p) if name != "step" else torch.zeros(())
        for k, (p, largest) in enumerate(zip(_parameters(optimizer), amsgrad))
        if p.requires_grad
        for name in ("step", "exp_avg", "exp_avg_sq", *["max_exp_avg_sq"] * largest)
    }


def layout(optimizer: torch.optim.Optimizer, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What these tensors of an optimizer must look like; those of no Adam, as their parameters.

    Those that an axis was summed out of, as Adafactor's are, have size 1 there.
    """
    if isinstance(optimizer, ADAMS):
        return moments(optimizer)
    shapes = {str(k): p for k, p in enumerate(_parameters(optimizer))}
    whole = {name: shapes.get(name.partition(".")[0]) for name in found}
    return {
        name: found[name] if _is_part(found[name], parameter) else parameter
        for name, parameter in whole.items()
        if parameter is not None
    }


def _is_part(value: Tensor, parameter: Tensor) -> bool:
    """Whether a tensor is a scalar, or has size 1 or that of the parameter along every axis."""
    sizes = zip(value.shape, parameter.shape)
    return value.ndim == 0 or (
        value.ndim == parameter.ndim and all(own in (1, size) for own, size in sizes)
    )


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give an optimizer back what `pack_optimizer` took from it."""
    whole = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".")
        state.setdefault(int(index), {})[key] = value
    whole["state"] = state
    optimizer.load_state_dict(whole)
