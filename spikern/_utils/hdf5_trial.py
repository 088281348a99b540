"""Read all of the HDF5 file on the standard input, as a program; print why, if it cannot be read.

HDF5 loops for ever, claims gigabytes or ends its process on some damaged files.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

import h5py

UNPACKED = 1032
"""The most bytes that a byte packed by deflate can hold, so the most that a header may claim."""
MEMORY = 4 << 30
"""Bytes that reading may take, and 64 for each byte of the file."""


def main() -> None:
    """Read every array in turn."""
    size = os.fstat(0).st_size
    with suppress(ImportError, OSError, ValueError):  # on systems without such a limit
        import resource

        limit = MEMORY + 64 * size
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    def read(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            if node.nbytes > UNPACKED * size:
                raise ValueError(f"{name} claims {node.nbytes} bytes of a file of {size}")
            node[()]

    try:
        with open(0, "rb") as file, h5py.File(file, "r") as content:
            content.visititems(read)
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
