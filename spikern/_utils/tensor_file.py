"""Files of named arrays with a header: safetensors, written atomically, held to a digest."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from spikern._utils import atomic
from spikern._utils.errors import DataError

DIGEST = "sha256"
"""The header's entry that holds the digest."""
WITHOUT_DIGEST = (
    {"format", "header"},
    {"format", "neurons", "outputs"},
    {"format", "neurons", "outputs", "wires"},
)
"""The entries of checkpoints and streams of version 0.1.0, which have no digest."""
OLD_NAME = re.compile(r"\.links(?=_|$)")
"""What version 0.1.0 called the synapses of a sparse recurrence, in checkpoints and streams."""


def write(path: str | Path, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, str]) -> None:
    """Write arrays and a header, whole or not at all."""
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    entries = {**header, DIGEST: digest(contiguous, header)}
    atomic.write(Path(path), save(contiguous, entries))


def read(path: str | Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The arrays and the header. Raises DataError if the file is corrupt or not of this kind.

    It is opened once, since another process may write the next one meanwhile.
    """
    try:
        with safe_open(path, "np") as file:
            header = dict(file.metadata() or {})
            wanted = header.pop(DIGEST, None)
            old = wanted is None and set(header) in WITHOUT_DIGEST
            if wanted is None and not old:
                raise DataError(f"{path} has no digest: spikern did not write it")
            arrays = {name: file.get_tensor(name) for name in list(file.keys())}
    except DataError:
        raise
    except (OSError, SafetensorError, TypeError) as error:  # numpy lacks some types
        raise DataError(f"cannot read {path}: {error}") from error
    if not old and wanted != digest(arrays, header):
        raise DataError(f"{path} is corrupt: its content is not what was written")
    return {OLD_NAME.sub(".synapses", name): array for name, array in arrays.items()}, header


def read_header(path: str | Path) -> dict[str, str]:
    """The header alone, which takes no time for a file of any size; the digest is not checked."""
    try:
        with safe_open(path, "np") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise DataError(f"cannot read {path}: {error}") from error


def check(path: str | Path) -> None:
    """Raise DataError if the file is damaged; one of another origin need not have a digest."""
    if DIGEST in read_header(path):
        read(path)


def digest(arrays: Mapping[str, NDArray[Any]], header: Mapping[str, str]) -> str:
    """The SHA-256 of names, types, shapes and values of all arrays, and of the header.

    >>> digest({"a": np.zeros(2)}, {}) == digest({"a": np.zeros(2)}, {"format": "1"})
    False
    """
    content = hashlib.sha256(json.dumps(dict(header), sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        content.update(f"{name} {array.dtype.str} {array.shape}".encode())
        content.update(array.tobytes())
    return content.hexdigest()
