"""Files that other programs wrote: whatever a damaged one causes is one error that names it."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import h5py

from spikern._utils import hdf5_trial
from spikern._utils.errors import DataError, SpikernError

SECONDS = 30.0
"""What reading an HDF5 file may take, and a second more for each megabyte."""
PACKED = 100
"""The most bytes that a packed byte of a recording unpacks to; a megabyte is always allowed."""


@contextmanager
def parsed(path: Path | str, kind: str) -> Iterator[None]:
    """Turn what is raised inside into a DataError of the file, which is expected to be of a kind.

    Libraries raise anything on damaged bytes: ZeroDivisionError, UnboundLocalError, zlib.error.
    """
    try:
        yield
    except SpikernError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; give the path of {kind}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected {kind}, got a byte at {error.start} that is none; save it as UTF-8"
        ) from error
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise DataError(f"{path}: expected {kind}, whole: {reason}; fetch it again") from error


@contextmanager
def unpacked(path: Path | str) -> Iterator[IO[bytes]]:
    """Open a file; if its name ends in .gz, its content as a temporary file.

    Raises ValueError if it expands to far more than a recording has.
    """
    with open(path, "rb") as file:
        if not str(path).endswith(".gz"):
            yield file
            return
        most = PACKED * os.fstat(file.fileno()).st_size + (1 << 20)
        with gzip.open(file) as packed, tempfile.TemporaryFile() as plain:
            while block := packed.read(1 << 20):
                plain.write(block)
                if plain.tell() > most:
                    raise ValueError(f"it unpacks to more than {most} bytes")
            plain.seek(0)
            yield plain


@contextmanager
def hdf5(path: Path | str) -> Iterator[h5py.File]:
    """Open an HDF5 file, packed with gzip or not, after a trial whether it can be read.

    Raises DataError if it is damaged, also for what is raised inside.
    """
    with parsed(path, "an HDF5 file"), unpacked(path) as file:
        _try(file)
        with h5py.File(file, "r") as content:
            yield content


def _try(file: IO[bytes]) -> None:
    """Have another process read the file. Raises ValueError if that fails or does not end."""
    seconds = SECONDS + os.fstat(file.fileno()).st_size / 1e6
    command = [sys.executable, "-P", hdf5_trial.__file__]
    try:
        trial = subprocess.run(command, stdin=file, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise ValueError(f"reading it does not end within {seconds:.0f} s") from None
    if trial.returncode:
        raise ValueError(trial.stderr.strip() or f"reading it ends in code {trial.returncode}")
    file.seek(0)
