"""Exported C, compiled and called from Python."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

from spikern.interop import export_c

STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off"]
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
compilers = pytest.mark.parametrize(
    "compiler",
    [
        pytest.param(c, marks=pytest.mark.skipif(shutil.which(c) is None, reason=f"needs {c}"))
        for c in ("gcc", "clang")
    ],
)


def run(*command, **settings):
    """Run a command, with its messages in the error if it fails."""
    done = subprocess.run(command, capture_output=True, check=False, **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Library:
    """An exported network as a shared library."""

    def __init__(self, trained, folder, numbers="float32", compiler="gcc"):
        path = export_c(trained, folder / f"{numbers}_{compiler}", numbers, name="net")
        (path / "size.c").write_text(
            '#include "net.h"\nint size(void) { return sizeof(net_state); }\n'
        )
        files = [path / "net.c", path / "size.c"]
        run(compiler, "-O2", *STRICT, "-shared", "-fPIC", "-o", path / "net.so", *files, "-lm")
        self.library = ctypes.CDLL(str(path / "net.so"))
        self.path = path
        self.ram = self.library.size()
        header = (path / "net.h").read_text()
        self.outputs = int(header.split("net_OUTPUTS = ".replace("net", "NET"))[1].split()[0])
        self.state = ctypes.create_string_buffer(self.ram)

    def run(self, x, events=False):
        """The answer after each step of a sequence x (T, F)."""
        self.library.net_init(self.state)
        answers = np.empty((len(x), self.outputs), np.float32)
        for row, answer in zip(np.ascontiguousarray(x, np.float32), answers):
            if events:
                listed = list_events(row)
                assert self.library.net_step_events(self.state, pointer(listed), len(listed)) == 0
            else:
                self.library.net_step(self.state, pointer(row))
            self.library.net_answer(self.state, pointer(answer))
        return answers


def list_events(row):
    """The entries of x (F,) that are not zero, as net_event."""
    kind = np.dtype([("channel", np.uint16), ("value", np.float32)], align=True)
    (channels,) = np.nonzero(row)
    events = np.zeros(len(channels), kind)
    events["channel"], events["value"] = channels, row[channels]
    return events


def pointer(array):
    """The address of an array."""
    return array.ctypes.data_as(ctypes.c_void_p)
