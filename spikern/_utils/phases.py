"""What a process does while it is silent: a line on the terminal that goes when the phase ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

CLEAR = "\r\x1b[K"


@contextmanager
def phase(name: str) -> Iterator[None]:
    """While inside, a terminal's stderr says what is done; a file or pipe is not written to."""
    visible = sys.stderr.isatty()
    if visible:
        print(f"{CLEAR}{name} ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if visible:
            print(CLEAR, end="", file=sys.stderr, flush=True)
