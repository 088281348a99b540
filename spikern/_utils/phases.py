"""What a process says on stderr while it works: lines, the name of a phase, a bar.

All that is said begins a line, whatever bar or phase shows there, of this process or of its parent.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

CLEAR = "\r\x1b[K" if os.environ.get("TERM") != "dumb" else "\r"
LINE_SECONDS = 15.0
"""The least time between two lines of a bar in a file or pipe."""


def say(text: str) -> None:
    """Print a line on stderr; on a terminal it takes the place of the bar or phase there."""
    print(f"{CLEAR if sys.stderr.isatty() else ''}{text}", file=sys.stderr, flush=True)


def say_warning(message: Warning | str, *rest: Any, **more: Any) -> None:
    """A `warnings.showwarning` of one line."""
    say(f"spikern: warning: {message}")


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


def is_watched() -> bool:
    """Whether stderr is a terminal, or the cell of a notebook."""
    return "ipykernel" in sys.modules or sys.stderr.isatty()


class Lines:
    """A stream for a bar that nobody watches: whole lines, now and then and at the end.

    >>> lines = Lines(sys.stdout)
    >>> for text in ("\\r 1/3", "\\r 2/3", "\\r 3/3", "\\n"):
    ...     _ = lines.write(text)
    1/3
    3/3
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._held = ""
        self._due = 0.0

    def write(self, text: str) -> None:
        """Hold what a bar shows until a line is due; the bar's end of line is its end."""
        self._held = text.strip() or self._held
        now = time.monotonic()
        if self._held and (text == "\n" or now >= self._due):
            self._stream.write(f"{self._held}\n")
            self._held, self._due = "", now + LINE_SECONDS

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()


def bar(total: int, unit: str, done: int = 0, visible: bool = True, delay: float = 0.0) -> Any:
    """A bar of tqdm on stderr, as `Lines` where nobody watches."""
    from tqdm import tqdm  # late: most commands have none

    file = sys.stderr if is_watched() else Lines(sys.stderr)
    return tqdm(total=total, unit=unit, initial=done, file=file, disable=not visible, delay=delay)
