"""The benchmark runs, says what it did not measure, and divides the right way round."""

import importlib.util
import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

from spikern import timing
from spikern.__main__ import main
from spikern._utils.errors import InputError
from spikern.engines import population
from spikern.report import benchmark_table
from spikern.timing import benchmark, measurement, peers, workloads

pytestmark = pytest.mark.usefixtures("one_thread")
SCRIPTS = Path(__file__).parents[1] / "experiments" / "bench"
FIELDS = {
    "work": str, "what": str, "rate": float, "peer": str,
    "spikern": float, "peer_value": float, "ratio": float,
}  # fmt: skip


def smoke(*names):
    return timing.run_benchmark(timing.Settings(names, (0.1,), repeats=1, threads=1, smoke=True))


@pytest.fixture(scope="module")
def results():
    """Batch 1, which has all peers and needs no fresh processes."""
    return smoke("1", "1s")


def test_rows_have_their_form(results):
    for row in results["rows"]:
        assert {name: type(value) for name, value in row.items()} == FIELDS
        assert row["ratio"] == pytest.approx(row["peer_value"] / row["spikern"])
    assert {row["work"] for row in results["rows"]} == {"1", "1s-128", "1s-512"}
    assert {row["what"] for row in results["rows"]} == {"step", "infer"}
    json.dumps(results)


def test_every_peer_is_measured_or_named_as_missing(results):
    names = {row["peer"] for row in results["rows"]} | set(results["not_measured"])
    assert {peers.FUSED, peers.REFERENCE, peers.SNNTORCH, peers.RUNTIME, *peers.DENSE} <= names


def test_a_missing_package_is_named_and_left_out(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "snntorch" else find(name)
    )
    results = smoke("1")
    assert "pip install 'spikern[snntorch]'" in results["not_measured"][peers.SNNTORCH]
    names = {row["peer"] for row in results["rows"]}
    assert names == {peers.FUSED, peers.REFERENCE, peers.RUNTIME, peers.RUNTIME_EQUAL, *peers.DENSE}


def test_rows_pair_equal_rates_and_rateless_peers():
    def measured(name, rate, value, work="S"):
        return benchmark.Measurement(work, "train", name, rate, value, value / 2)

    rows = benchmark.rows(
        [
            measured(peers.FUSED, 0.05, 2.0),
            measured(peers.FUSED, 0.1, 4.0),
            measured(peers.SNNTORCH, 0.05, 10.0),
            measured("nn.RNN", None, 8.0),
            measured("nn.RNN", None, 1.0, work="H"),
        ]
    )
    ratios = {(row["rate"], row["peer"]): row["ratio"] for row in rows}
    assert ratios == {(0.05, peers.SNNTORCH): 5.0, (0.05, "nn.RNN"): 4.0, (0.1, "nn.RNN"): 2.0}
    assert "| S | train | 5% | 2 ms | 5x | 4x |" in benchmark_table(rows)


def test_fastest_samples_make_the_ratio_when_asked():
    slow = benchmark.Measurement("S", "train", peers.FUSED, 0.05, 4.0, 1.0)
    other = benchmark.Measurement("S", "train", "nn.RNN", None, 8.0, 6.0)
    assert benchmark.rows([slow, other])[0]["ratio"] == 2.0
    assert benchmark.rows(benchmark.by_least([slow, other]))[0]["ratio"] == 6.0


def test_calls_are_interleaved(monkeypatch):
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    monkeypatch.setattr(measurement, "SAMPLE_SECONDS", 0.0)
    samples = measurement.interleaved(calls, 3)
    assert "".join(order) == "aabb" + "ab" * 3
    assert {name: len(times) for name, times in samples.items()} == {"a": 3, "b": 3}


def spiking(name):
    """The spiking network of a small workload, and its data."""
    work = workloads.chosen((name,), smoke=True)[0]
    x, y = work.data()
    return peers.spiking_network(work, x, 0.1), x, y


def test_a_training_step_leaves_the_rate_alone():
    network, x, y = spiking("H")
    before = peers.measured_rates(network, x)
    peers.train_step(network, x, y)()
    assert peers.measured_rates(network, x) == before
    assert all(p.grad is not None for p in network.parameters())


def test_both_forms_of_sparse_recurrence_are_timed_and_the_choice_stays():
    before = population.SPARSE
    base = workloads.Workload("t", "small", 4, 2, 6, 40, kinds=("train",))
    records = timing.densities(1, 1, lambda line: None, base)
    assert {(r["density"], r["form"]) for r in records} == {
        (density, form) for density in benchmark.DENSITIES for form in benchmark.FORMS
    }
    assert before == population.SPARSE


def test_engines_share_weights():
    network, _, _ = spiking("S")
    other = peers.sharing_weights(network, "reference")
    assert (network.body.engine, other.body.engine) == ("fused", "reference")
    assert all(a is b for a, b in zip(network.parameters(), other.parameters()))


def test_a_masked_recurrence_stays_masked():
    network, x, y = spiking("L")
    weight = network.body.weight_hh_l0
    share = weight.count_nonzero().item() / weight.numel()
    assert 0.02 < share < 0.25
    torch.nn.functional.cross_entropy(network(x)[0], y).backward()
    assert not weight.grad[weight == 0].any()


def test_snntorch_fires_at_the_rate_asked_for():
    pytest.importorskip("snntorch")
    work = workloads.Workload("t", "small", 60, 8, 20, 32, layers=2, events=0.1)
    rates = peers.Leaky(work).calibrate(work.data()[0], 0.1)
    assert rates == pytest.approx([0.1, 0.1], abs=0.01)


def test_lstm_of_equal_parameters():
    work = workloads.Workload("t", "small", 10, 1, 8, 64)
    hidden = peers.lstm_of(5000, work)
    assert peers.parameters(peers.Dense("LSTM", work, hidden)) == pytest.approx(5000, rel=0.1)


def test_onnx_runtime_computes_what_torch_does():
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    work = workloads.chosen(("1s",), smoke=True)[0]
    model = peers.Dense("LSTM", work)
    x = work.data()[0]
    zero = torch.zeros(1, 1, work.hidden)
    session = peers.onnx_session(model.eval(), (x, zero, zero), 1)
    feed = dict(zip("xhc", (t.numpy() for t in (x, zero, zero))))
    assert torch.allclose(torch.from_numpy(session.run(None, feed)[0]), model(x)[0], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workloads", ("Z",)),
        ("workloads", ("1", "1")),
        ("rates", (1.5,)),
        ("repeats", 0),
        ("threads", 0),
    ],
)
def test_bad_settings_are_refused(name, value):
    with pytest.raises(InputError, match=f"^{name} "):
        timing.Settings(**{name: value})


def test_command_prints_rows(capsys, tmp_path):
    command = "bench --workloads 1 --rates 0.1 --repeats 1 --smoke --json --out"
    main([*command.split(), str(tmp_path)])
    rows = json.loads(capsys.readouterr().out)
    assert rows == json.loads((tmp_path / "results.json").read_text())["rows"]


@pytest.mark.slow
def test_training_and_memory_have_rows():
    rows = {(row["what"], row["peer"]) for row in smoke("S")["rows"]}
    assert {("train", "nn.LSTM"), ("infer", "nn.LSTM"), ("memory", "nn.LSTM")} <= rows


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["delays.py --steps 20 --batch 4 --repeats 1", "experts.py --steps 20 --repeats 1"]
)
def test_a_script_of_the_page_prints_a_table(command, monkeypatch, capsys):
    script, *arguments = command.split()
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    runpy.run_path(str(SCRIPTS / script), run_name="__main__")
    head, line, *rows = capsys.readouterr().out.splitlines()
    assert "training step" in head
    assert {row.count("|") for row in (head, line, *rows)} == {head.count("|")}
    assert len(rows) > 9
