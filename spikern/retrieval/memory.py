"""Memories: hidden states of a network as packed bits, each with what came with it.

    key     the bits of the last steps, newest first: the spikes of every hidden layer; of RNN, GRU
            and LSTM, whether h is above its median over the stored text
    value   the next symbol

Keys are in the order of the text, so that the key after a match is a likely match at the next step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikern._utils import tensor_file
from spikern._utils.display import Facts, shown_by
from spikern._utils.errors import DataError, InputError
from spikern._utils.numbers import check_whole
from spikern.retrieval.search import Tables, Words, hashed, packed

Truths = NDArray[np.bool_]
FORMAT = "memory 1"


def _of_memory(memory: Memory) -> Facts:
    return {
        "keys": f"{len(memory.keys):,}",
        "bits per key": memory.key_bits,
        "steps": memory.steps,
        "tables": len(memory.tables.masks),
        "bytes": f"{memory.nbytes:,}",
    }


@shown_by(_of_memory)
@dataclass(frozen=True, eq=False)
class Memory:
    """What `remember` returns: arrays that a search reads.

    keys        (N, W) words of 64 bits
    values      (N,) the next symbol
    thresholds  (H,) a bit is set where a hidden output is above its own
    tables      hash tables over the keys
    steps       steps of a key
    """

    keys: Words
    values: NDArray[np.int32]
    thresholds: NDArray[np.float32]
    tables: Tables
    steps: int

    @property
    def key_bits(self) -> int:
        """Bits of a key."""
        return self.steps * len(self.thresholds)

    @property
    def nbytes(self) -> int:
        """Size of all arrays."""
        return sum(a.nbytes for a in (self.keys, self.values, self.thresholds, *self.tables))

    def first(self, keys: int) -> Memory:
        """Return the memory of the first `keys` keys, with the same thresholds and sampled bits.

        A part of the text that is remembered by itself has medians of its own.
        """
        check_whole(keys=keys)
        if not 1 <= keys <= len(self.keys):
            raise InputError(f"expected 1 to {len(self.keys)} keys, got {keys}")
        kept = np.ascontiguousarray(self.keys[:keys])
        tables = hashed(kept, self.tables.masks)
        return replace(self, keys=kept, values=self.values[:keys].copy(), tables=tables)

    def save(self, path: str | Path) -> None:
        """Write it to one safetensors file."""
        names = ("keys", "values", "thresholds")
        arrays = {name: getattr(self, name) for name in names} | self.tables._asdict()
        tensor_file.write(path, arrays, {"format": FORMAT, "steps": str(self.steps)})


def load_memory(path: str | Path) -> Memory:
    """Load a memory that `save` wrote. Raises DataError if the file is broken or none of these."""
    arrays, head = tensor_file.read(path)
    if head.get("format") != FORMAT:
        raise DataError(f"{path} is not a file of Memory.save, but {head.get('format')}")
    try:
        tables = Tables(*(arrays.pop(name) for name in Tables._fields))
        memory = Memory(**arrays, tables=tables, steps=int(head["steps"]))
        _check(memory)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} does not hold a memory: {error}") from error
    return memory


def _check(memory: Memory) -> None:
    """Raise ValueError for arrays with which a search would read what is not there."""
    (number, words), (masks, begin, members) = memory.keys.shape, memory.tables
    buckets = begin.shape[-1] - 1
    expected: dict[str, tuple[NDArray[Any], type, tuple[int, ...]]] = {
        "keys": (memory.keys, np.int64, (number, words)),
        "values": (memory.values, np.int32, (number,)),
        "thresholds": (memory.thresholds, np.float32, (len(memory.thresholds),)),
        "masks": (masks, np.int64, (len(masks), words)),
        "begin": (begin, np.int32, (len(masks), buckets + 1)),
        "members": (members, np.int32, (len(masks), number)),
    }
    for name, (array, kind, shape) in expected.items():
        if array.dtype != kind or array.shape != shape:
            raise ValueError(f"expected {name} {shape}, got {array.dtype} {array.shape}")
    if memory.steps < 1 or words != -(-memory.key_bits // 64) or number == 0:
        raise ValueError(f"{memory.steps} steps do not make {number} keys of {words} words")
    if buckets < 1 or buckets & (buckets - 1):
        raise ValueError(f"the buckets of a table are a power of two, not {buckets}")
    bounds = (begin[:, 0] == 0) & (begin[:, -1] == number) & (np.diff(begin) >= 0).all(1)
    if not bounds.all() or ((members < 0) | (members >= number)).any() or memory.values.min() < 0:
        raise ValueError("a bucket or a value is out of range")


def windows(bits: Truths, before: Truths, lengths: NDArray[np.int64]) -> tuple[Words, Truths]:
    """Pack the bits (T, B, H) of every step and of the steps before it into keys (T, B, W).

    `before` (steps - 1, B, H) are the bits before the first step; returned too are those of the
    last valid steps of every sample, which come before the next piece of its sequence.
    """
    line = np.concatenate([before, bits])
    steps, width = len(bits), len(before)
    parts = [line[k : k + steps] for k in range(width, -1, -1)]
    rows = lengths + np.arange(width)[:, None]
    return packed(np.concatenate(parts, -1)), line[rows, np.arange(bits.shape[1])]
