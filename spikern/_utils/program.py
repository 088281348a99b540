"""What surrounds the command `spikern` from its first moment on: signals and streams.

Files are written whole and a killed run is resumed, so a signal needs no clean-up: the process ends
at once, with one line.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from spikern._utils.errors import SpikernError
from spikern._utils.phases import say

SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
CLOSED_PIPE = 128 + 13
"""Exit status of a command whose reader has gone; as after SIGPIPE, which Windows lacks."""


def run() -> None:
    """Run `python -m spikern`, in this process."""
    runpy.run_module("spikern", run_name="__main__", alter_sys=True)


def begin() -> None:
    """Open what the caller closed of the standard streams, and answer signals with one line."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            nothing = open(os.devnull, "r+")  # noqa: SIM115 (open to the end)
            os.set_inheritable(nothing.fileno(), True)  # or workers would lack it still
            setattr(sys, name, nothing)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # not all is ASCII
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupted)
    # The tracker of joblib removes what a killed process leaves in shared memory, and warns.
    ignored = [os.environ.get("PYTHONWARNINGS"), "ignore:resource_tracker"]
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, ignored))


def carry_out(command: Callable[[], None]) -> None:
    """Do what was asked for; a file or a stream that cannot be written is one line."""
    try:
        command()
        sys.stdout.flush()
    except OSError as error:
        end(CLOSED_PIPE if isinstance(error, BrokenPipeError) else 2, str(error))


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Print a SpikernError that is raised inside as one line, and end with exit status 2."""
    try:
        yield
    except SpikernError as error:
        say(f"spikern: {error}")
        raise SystemExit(2) from None


def interrupted(number: int, frame: Any) -> NoReturn:
    """End as the shell expects of a process that a signal ended."""
    end(128 + number, SIGNALS[signal.Signals(number)])


def end(status: int, message: str) -> NoReturn:
    """Say why, by the system's own call, which may come at any moment, and end.

    A list that is piped into `head` ends without a word.
    """
    trains = "compare" in sys.argv[1:2]
    hint = "; go on with --resume" if trains else ""
    if trains or status != CLOSED_PIPE:
        with suppress(OSError):
            os.write(2, f"\nspikern: {message}{hint}\n".encode())
    os._exit(status)
