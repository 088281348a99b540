"""The lock of a job, which the death of its holder releases.

A lock of the system (`flock`, on Windows `LockFileEx`) belongs to an open file, and the system
closes the files of a process however it ends, so a killed runner's claim is free at once and none
is ever stale. On a network folder this holds where the server keeps such locks: NFS does since
Linux 2.6.12, Lustre if it is mounted with `flock`. A file system that cannot lock is an error,
never a claim.

The file says who works on the job, as "host pid". It is emptied when the work has ended, in
success or failure, so a lock that nobody holds but that is not empty tells of a death.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import lock_descriptor

from spikern._utils.errors import DataError


@contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Lock a job while inside; yields whether this process got the lock."""
    handle = _locked(path)
    if handle is None:
        yield False
        return
    try:
        os.ftruncate(handle, 0)
        os.write(handle, f"{socket.gethostname()} {os.getpid()}\n".encode())
        yield True
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def died(path: Path) -> str | None:
    """The process that died while it held this lock, as "host pid"; reported once."""
    if not path.exists():
        return None
    handle = _locked(path)
    if handle is None:
        return None
    try:
        holder = os.read(handle, 1024).decode().strip()
        os.ftruncate(handle, 0)
        return holder or None
    finally:
        os.close(handle)


def _locked(path: Path) -> int | None:
    """The open, locked file; None if somebody else has it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}; choose another folder") from error
    try:
        ours = lock_descriptor(handle, blocking=False)
    except OSError as error:
        os.close(handle)
        raise DataError(
            f"the file system of {path} cannot lock ({error.strerror}); put the study elsewhere"
        ) from error
    if not ours:
        os.close(handle)
        return None
    return handle
