"""The engine of a GPU: right in Triton's interpreter, and compiled for one without one."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
NEEDS_TRITON = pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton")
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def run(file, kinds, **environment):
    """Run the tests of another file in a process of their own."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", kinds]
    done = subprocess.run(
        [*command, str(HERE / file)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stdout[-5000:]


@NEEDS_TRITON
@pytest.mark.parametrize("kinds", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_in_the_interpreter(kinds):
    run("triton_cases.py", kinds, TRITON_INTERPRET="1", CUDA_VISIBLE_DEVICES="")


@NEEDS_TRITON
@pytest.mark.parametrize("kinds", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_compiled_for_an_h100(kinds):
    run("triton_compiled.py", kinds)


@NEEDS_TRITON
@pytest.mark.slow
def test_the_script_for_a_gpu_runs_dry(tmp_path):
    script = HERE.parent / "experiments" / "bench" / "gpu.py"
    out = tmp_path / "results.json"
    command = [sys.executable, str(script), "--interpret", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(out.read_text())
    assert results["gpu"] == "none: a dry run"
    assert [spikes["wrong"] for spikes in results["checks"]["spikes"].values()] == [0, 0, 0]
    assert set(results["checks"]["neurons"].values()) == {""}
    times = {row["what"]: row.get("ms", row.get("note")) for row in results["rows"]}
    assert {"triton", "cuDNN LSTM", "cuDNN GRU", "reference"} <= times.keys()
    assert times["triton"] > 0


@NEEDS_GPU
@pytest.mark.gpu
def test_on_a_gpu():
    run("triton_cases.py", "slow or not slow")
