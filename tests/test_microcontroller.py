"""Exported networks on an emulated microcontroller: the same answers, the same counts each time."""

import importlib
import shutil
import sys
from pathlib import Path

import pytest
import torch

from spikern.data import load
from spikern.layers.network import build

FOLDER = Path(__file__).parent.parent / "experiments" / "microcontroller"


@pytest.fixture
def board(monkeypatch):
    """The module of the experiment that emulates; its tools are Debian's."""
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("board")
    missing = [tool for tool in module.NEEDED if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    yield module
    del sys.modules["board"]


@pytest.mark.slow
@pytest.mark.parametrize("numbers", ["float32", "int8"])
@pytest.mark.parametrize("model", ["LIF", "EIF", "GRU", "LSTM"])
def test_the_board_answers_as_the_host(model, numbers, board, tmp_path):
    torch.manual_seed(0)
    digits = load("digits")
    network = build(model, 1, 16, 10).eval()
    folder = board.exported(network, digits, [0, 50, 100], False, numbers, tmp_path / "net")
    answers = board.on_host(folder).answers
    for target in board.TARGETS.values():
        run = board.emulated(folder, target)
        assert run.answers == answers
        assert board.emulated(folder, target) == run
        assert all(count > 64 * 16 for count in run.instructions)
