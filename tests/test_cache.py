"""The folder of generated modules: shared, broken, full or read-only, it never stops a run."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from spikern import Readout, compile_stream
from spikern._utils.errors import DataError
from spikern.data import files
from spikern.engines.codegen import cache, runtime, vectors
from spikern.engines.derivation import show_kernel
from spikern.neurons.alif import ALIF

PROGRAM = """
import sys
import numpy as np
from spikern import load_stream
stream = load_stream(sys.argv[1])
x, state = np.ones((5, 1, 3), np.float32), np.zeros((1, stream.state_size), np.float32)
out = stream.run(x).out[:, 0]
assert out.any()
print("equal", np.array_equal([stream.step(row[0], state).copy() for row in x], out))
"""
"""A stream starts in a third of the time of a layer, without torch."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The file of a stream."""
    path = tmp_path_factory.mktemp("saved") / "readout"
    compile_stream(Readout(3, 4)).save(path)
    return path


def start(saved, folder, **environment):
    settings = os.environ | {"SPIKERN_CACHE": str(folder)} | environment
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, saved],
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "equal True" in out
    return errors


def test_processes_at_the_same_time_and_after_each_other(saved, tmp_path):
    together = [start(saved, tmp_path), start(saved, tmp_path)]
    for process in together:
        assert "compiling" in finish(process)
    assert finish(start(saved, tmp_path)) == ""


def test_what_a_crash_or_another_numba_left_costs_a_compilation(saved, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    finish(start(saved, tmp_path))
    indices = list(tmp_path.glob("__pycache__/*.nbi"))
    assert indices
    for torn in (indices, tmp_path.glob("__pycache__/*.step-*.nbi")):
        for index in torn:
            index.write_bytes(index.read_bytes()[:7])
        finish(start(saved, tmp_path))
        assert all(len(index.read_bytes()) > 7 for index in indices)
        assert finish(start(saved, tmp_path)) == ""
    compiled = list(tmp_path.glob("__pycache__/*.pyc"))
    assert compiled
    for rest in (60, 0):
        for torn in compiled:
            torn.write_bytes(torn.read_bytes()[:rest])
        assert finish(start(saved, tmp_path)) == ""
    module = next(tmp_path.glob("*.py"))
    module.write_text(module.read_text()[:500])
    finish(start(saved, tmp_path))
    assert len(module.read_text()) > 500


@pytest.mark.parametrize("where", ["/dev/full/kernels", "/proc/kernels"])
def test_a_folder_that_cannot_be_written_is_named_and_the_run_goes_on(saved, where):
    if not Path(where).parent.exists():
        pytest.skip("needs Linux")
    output = finish(start(saved, where))
    assert where in output
    assert "SPIKERN_CACHE" in output


def test_a_user_without_a_home(tmp_path, monkeypatch, capsys):
    for name in ("SPIKERN_CACHE", "XDG_CACHE_HOME", "HOME", files.FOLDER):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "pwd", None)
    monkeypatch.setattr(cache, "_modules", {})
    assert cache.load("ANSWER = 42").ANSWER == 42
    assert "no home folder; set HOME" in capsys.readouterr().err
    with pytest.raises(DataError, match="no home folder; set HOME"):
        files.folders()
    monkeypatch.setenv(files.FOLDER, str(tmp_path))
    assert files.folders() == [tmp_path]


@pytest.fixture
def twice(tmp_path, monkeypatch):
    """The text of a module in a folder of its own."""
    monkeypatch.setenv("SPIKERN_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "_modules", {})
    monkeypatch.setattr(cache, "_ready", set())
    return (
        "from numba import njit\n\n\n@njit(cache=True)\ndef twice(x):\n    return 2 * x\n\n\n"
        f"TITLE = {str(tmp_path)!r}\n"
    )


def test_kernels_that_can_only_be_read_are_used(twice, tmp_path, monkeypatch):
    """As they are shipped; numba itself takes none from a folder that it cannot write."""
    cache.load(twice)
    cache.function(cache.name_of(twice), "twice", "float64(float64)", "")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    cache._modules.clear()
    cache._ready.clear()
    module = cache.load(twice)
    assert tmp_path not in Path(module.__file__).parents
    assert cache.function(cache.name_of(twice), "twice", "float64(float64)", "")(3.0) == 6.0
    assert sum(module.twice.stats.cache_hits.values()) == 1


def test_a_disk_that_fills_up_while_numba_saves(twice, monkeypatch):
    module = cache.load(twice)
    tried = []

    def full(*_):
        tried.append(True)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(module.twice._cache), "save_overload", full)
    assert cache.function(cache.name_of(twice), "twice", "float64(float64)", "")(3.0) == 6.0
    assert tried


def test_a_text_that_does_not_compile_is_no_fault_of_the_cache(twice, capsys):
    text = twice.replace("2 * x", "x.nothing")
    cache.load(text)
    with pytest.raises(numba.TypingError, match="nothing"):
        cache.function(cache.name_of(text), "twice", "float64(float64)", "")
    assert capsys.readouterr().err == ""


def test_a_function_by_its_address_takes_the_types_it_was_compiled_for():
    """Its memory would be read as something else: numba checks no call by address."""

    @numba.njit("void(int64, float64[::1])")
    def put(place, values):
        values[place] = 2.5

    (compiled,) = put.overloads.values()
    address = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    put_at = runtime.by_address(put, "void(int64, float64[::1])")
    values = np.zeros(3)
    numba.njit(lambda address, values: put_at(address, (1, values)))(address, values)
    assert values.tolist() == [0, 2.5, 0]
    wrong = numba.njit(lambda address, values: put_at(address, (1, values)))
    with pytest.raises(numba.TypingError, match="expected arguments of types"):
        wrong(address, np.zeros(3, np.float32))


def test_another_runtime_is_another_file(monkeypatch):
    """numba's cache looks at the generated file alone, so the runtime's hash must be in it."""
    text = show_kernel(ALIF)
    files = Path(runtime.__file__).read_bytes() + Path(vectors.__file__).read_bytes()
    assert hashlib.sha256(files).hexdigest()[:20] in text
    monkeypatch.setattr(runtime, "HASH", "another")
    assert cache.name_of(show_kernel(ALIF)) != cache.name_of(text)


def test_the_kernels_can_be_read():
    text = show_kernel(ALIF)
    assert "p_alpha_mem * s_v" in text
    assert "def backward" in text
    compile(text, "kernel", "exec")
