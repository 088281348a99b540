"""What was run, on what, from which state of the code."""

from __future__ import annotations

import datetime
import platform
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from spikern import __version__


def provenance(seconds: float, workers: int) -> dict[str, Any]:
    """Versions, processor, commit, date, command and run time, as in results.json."""
    return {
        "spikern": __version__,
        **{package: version(package) for package in ("torch", "numpy", "numba")},
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "workers": workers,
        "threads": 1,
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "command": shlex.join([program(), *sys.argv[1:]]),
    }


def program() -> str:
    """What was started: `spikern`, or the name of a script."""
    name = Path(sys.argv[0]).name
    return "spikern" if name == "__main__.py" else name


def processor() -> str:
    """The processor's name as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def device_name(device: str | torch.device | None) -> str:
    """What a device is, as the system gives it; None is the processor.

    >>> device_name("cpu") == device_name(None) == processor(), device_name("meta")
    (True, 'meta')
    """
    kind = torch.device(device or "cpu").type
    if kind == "cpu":
        return processor()
    return torch.cuda.get_device_name(device) if kind == "cuda" else kind


def commit() -> str:
    """The commit of this package's checkout, '+' if it has changes; 'unknown' outside of one."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        run = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, check=True
        )
        return run.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
