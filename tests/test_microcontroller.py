"""Exported networks on an emulated microcontroller: the same answers, the same counts each time."""

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from spikern.data import load
from spikern.layers.network import build
from spikern.train import evaluate

FOLDER = Path(__file__).parent.parent / "experiments" / "microcontroller"
MODULES = ("board", "measurement", "networks", "operations", "tables")


@pytest.fixture
def study(monkeypatch):
    """The module of the study that has this name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def board(study):
    """The module that emulates; its tools are Debian's."""
    module = study("board")
    missing = [tool for tool in module.NEEDED if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: {module.PACKAGES}")
    return module


CASES = [(m, n) for m in ("LIF", "EIF", "GRU", "LSTM") for n in ("float32", "int8")]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "numbers"), [*CASES, ("LIF", "fixed"), ("BRF", "fixed")])
def test_the_board_answers_as_the_host(model, numbers, board, tmp_path):
    network = build(model, 1, 16, 10).eval()
    given = board.given(load("digits").test, [[0], [50], [100]])
    folder = board.exported(network, given, False, numbers, tmp_path / "net")
    answers = board.on_host(folder).argmax(1).tolist()
    for target in board.TARGETS.values():
        run = board.emulated(folder, target)
        assert [answer for (answer,) in run.answers] == answers
        assert board.emulated(folder, target) == run
        assert all(count > 64 * 16 for count in run.instructions)
        assert all(64 * longest >= count for longest, count in zip(run.longest, run.instructions))


@pytest.mark.slow
def test_an_accumulate_costs_what_one_more_spike_adds(board, study, tmp_path):
    """Prices from networks of 16 and 32 neurons predict one of 64 of which eight fire."""
    operations = study("operations")
    prices = operations.price(operations.Priced("m4f", "float32"), tmp_path / "jobs" / "one")
    network = operations._driven("LIF", 64, 8)
    given = [board.Given(np.zeros((64, 2), np.float32), np.zeros(1, np.int64))]
    folder = board.exported(network, given, False, "float32", tmp_path / "net")
    (executed,) = board.emulated(folder, board.TARGETS["m4f"]).instructions
    expected = 64 * prices["update of LIF"] + 10 * prices["update of LI"]
    expected += 8 * (64 + 10) * prices["accumulate, rows in fours"]
    assert 0.85 < expected / (executed / 64) <= 1.0  # beside it: calls, and loops over the input


@pytest.mark.parametrize(("enough", "sizes"), [(40, (45, 45)), (79, (79, 91)), (200, ())])
def test_the_size_of_equal_quality_is_walked_to(enough, sizes, study, monkeypatch, tmp_path):
    """Down from that of the budget (GRU 79, LSTM 68), up from it, or to none."""
    networks = study("networks")
    budget = {"GRU": 79, "LSTM": 68}

    def quality(job):
        if job.model in networks.GATED:
            return min(1.0, (job.hidden_size or budget[job.model]) / enough) - 0.004
        return 1.0 if job.model == "BRF" else 0.5

    monkeypatch.setattr(
        networks,
        "run_all",
        lambda train, jobs, out, progress: [{"accuracy": quality(j)} for j in jobs],
    )
    found = list(networks.of_equal_quality(networks.TASKS[0], (0, 1), tmp_path))
    assert all(each.equals == "BRF" for each in found)
    assert [(each.job.model, each.job.hidden_size or budget[each.job.model]) for each in found] == [
        (model, size) for model, size in zip(networks.GATED, sizes) for _ in range(2)
    ]


def test_carried_text_is_read_as_evaluate_reads_it(study):
    """The sequences that a state is carried through, in order, each once."""
    measurement = study("measurement")
    streams = measurement.groups(range(37), True, 16)
    assert [k for stream in streams for k in stream] == list(range(37))
    assert len(streams) == 16
    assert measurement.groups([5, 9], False, 16) == [[5], [9]]


def test_quality_is_that_of_evaluate(study):
    digits, network = load("digits"), build("LIF", 1, 16, 10).eval()
    with torch.no_grad():
        logits = network(digits.test.x)[0].numpy()
    found = study("measurement").quality(logits, digits.test.y.numpy())
    expected = evaluate(network, digits.test)
    assert found["accuracy"] == expected.accuracy
    assert found["bits"] == pytest.approx(expected.loss / np.log(2), rel=1e-5)  # another order


def test_the_pages_have_the_numbers_of_the_results(study):
    tables, results = study("tables"), json.loads((FOLDER / "results.json").read_text())
    for page in (FOLDER / "README.md", FOLDER.parent.parent / "docs" / "instructions.md"):
        text = page.read_text()
        for name, table in tables.of(page.stem, results).items():
            assert f"<!-- {name} -->\n{table}\n<!-- end -->" in text
