"""The idx format of MNIST: a magic number, the sizes, then bytes.

0 0 8 n   bytes of n dimensions
n sizes   4 bytes each, the largest first
content   as many bytes as their product
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikern._utils import foreign
from spikern._utils.errors import DataError

BYTES = 8
"""The code of unsigned bytes in the magic number."""


def read(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """Read a file, packed with gzip or not. Raises DataError on any other content."""
    with foreign.parsed(path, "an idx file"), foreign.unpacked(path) as file:
        content = file.read()
    magic = bytes((0, 0, BYTES, dimensions))
    if content[:4] != magic:
        raise DataError(
            f"{path}: expected an idx file of bytes in {dimensions} dimensions, magic "
            f"{magic.hex()}, got {content[:4].hex() or 'nothing'}"
        )
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise DataError(f"{path}: cut off in its header; fetch it again")
    sizes = struct.unpack(f">{dimensions}I", content[4:start])
    if len(content) - start != math.prod(sizes):
        raise DataError(
            f"{path}: expected {' x '.join(map(str, sizes))} bytes after the header, "
            f"got {len(content) - start}; fetch it again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes).copy()
