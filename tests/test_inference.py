"""What is measured is what the network computes, and joules are read and subtracted right."""

import shutil
import time

import numpy as np
import pytest
import torch

from spikern._utils.errors import DataError, InputError, SpikernError, UnsupportedError
from spikern.data.dataset import Split
from spikern.layers.network import ANSWERS, build
from spikern.timing import energy_counters, runtimes
from spikern.timing.energy_counters import Window, net, window
from spikern.timing.inference import Contestant, batches, check, fastest, measure

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def split():
    torch.manual_seed(0)
    lengths = torch.tensor([9, 5, 5, 7, 5])
    valid = torch.arange(9)[:, None] < lengths
    return Split(torch.randn(9, 5, 3) * valid.unsqueeze(2), torch.zeros(5).long(), lengths)


def contestant(model, answer="last"):
    torch.manual_seed(1)
    return Contestant(model, "width", build(model, 3, 8, 4, answer).eval())


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("model", ["LIF", "ALIF", "RNN", "GRU", "LSTM"])
def test_every_runtime_computes_the_logits_of_the_network(model, answer, split):
    one = contestant(model, answer)
    for runtime, make in runtimes.RUNTIMES[one.network.spiking].items():
        if runtime in (runtimes.COMPILED, runtimes.INT8_GRAPH):
            continue
        for size in (1, 5):
            inputs = batches(split, size)
            calls = make(one.network, inputs, 1)
            result = check(one, runtime, size, calls, inputs)
            assert result.difference < 1e-5  # the networks are small and untrained
            assert result.agreement == 1.0


def test_wrong_logits_are_rejected(split):
    one = contestant("LSTM")
    inputs = batches(split, 5)
    (right,) = runtimes.eager(one.network, inputs, 1)
    for wrong in (lambda: right() + 0.01, lambda: right() * np.nan):
        with pytest.raises(SpikernError, match="LSTM on torch eager"):
            check(one, runtimes.EAGER, 5, [wrong], inputs)
    backwards = check(one, runtimes.INT8_GRAPH, 5, [lambda: -right()], inputs)
    assert backwards.agreement < 0.5  # int8 is reported, not rejected


@pytest.mark.parametrize("supported", [True, False])
def test_the_fastest_runtime_is_named(supported, split, monkeypatch):
    """Of those that are there; int8, whose answers are others, is never among them."""

    def slow(network, inputs, threads):
        return [lambda: time.sleep(0.02)] * len(inputs)

    def missing(network, inputs, threads):
        raise UnsupportedError("it has no graph")

    monkeypatch.setitem(runtimes.RUNTIMES[False], runtimes.EAGER, slow)
    monkeypatch.setitem(runtimes.RUNTIMES[False], runtimes.INT8_GRAPH, lambda *a: [lambda: 0] * 3)
    if not supported:
        monkeypatch.setitem(runtimes.RUNTIMES[False], runtimes.FLOAT_GRAPH, missing)
    found = fastest({name: contestant(name).network for name in ("LIF", "LSTM")}, split, 3)
    assert found["LIF"][0] == runtimes.STREAM
    runtime, ms = found["LSTM"]
    assert runtime == (runtimes.FLOAT_GRAPH if supported else runtimes.EAGER)
    assert (ms < 20) == supported


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of inductor itself
@pytest.mark.skipif(not any(map(shutil.which, runtimes.COMPILERS)), reason="needs a C++ compiler")
def test_the_compiled_network_computes_the_same(split):
    one = contestant("LSTM")
    inputs = batches(split, 5)
    calls = runtimes.compiled(one.network, inputs, 1)
    assert check(one, runtimes.COMPILED, 5, calls, inputs).difference < 1e-5


def test_a_missing_compiler_is_named(monkeypatch, split):
    monkeypatch.setattr(runtimes.shutil, "which", lambda name: None)
    with pytest.raises(UnsupportedError, match=r"g\+\+ or clang\+\+"):
        runtimes.compiled(contestant("LSTM").network, [split], 1)


@pytest.mark.skipif(not any(map(shutil.which, runtimes.COMPILERS)), reason="needs a C++ compiler")
def test_many_steps_of_a_gru_are_not_compiled():
    long = Split(torch.zeros(64, 1, 3), torch.zeros(1).long(), torch.tensor([64]))
    with pytest.raises(UnsupportedError, match="unrolls the steps of a GRU; 64"):
        runtimes.compiled(contestant("GRU").network, [long], 1)


def test_it_runs_and_the_rows_have_these_fields(monkeypatch, split, tmp_path):
    monkeypatch.setattr(runtimes.shutil, "which", lambda name: None)
    contestants = [contestant("ALIF"), contestant("LSTM"), contestant("GRU")]
    result = measure(contestants, split, sizes=(1, 4), repeats=1, root=tmp_path)
    fields = {"name", "equal", "runtime", "batch", "ms", "samples", "ratio", "joules"}
    assert all(set(row) == fields for row in result.rows)
    ran = {(row["name"], row["runtime"]) for row in result.rows}
    assert ran == {
        ("ALIF", "spikern stream"),
        ("LSTM", "torch eager"),
        ("LSTM", "ONNX Runtime fp32"),
        ("LSTM", "ONNX Runtime int8"),
        ("GRU", "torch eager"),
        ("GRU", "ONNX Runtime fp32"),
    }
    assert len(result.rows) == len(result.checks) == 2 * len(ran)
    assert [row["ratio"] for row in result.rows if row["name"] == "ALIF"] == [1.0, 1.0]
    assert "C++ compiler" in result.missing["LSTM on torch.compile"]
    assert "does not quantise GRU" in result.missing["GRU on ONNX Runtime int8"]
    assert result.no_joules.startswith("not measured on this machine")
    assert all(row["joules"] is None for row in result.rows)


@pytest.mark.parametrize("models", [[], ["LSTM"]])
def test_the_spiking_network_comes_first(models, split):
    with pytest.raises(InputError, match="spiking"):
        measure([contestant(model) for model in models], split)


def test_the_others_are_measured_against_the_first_or_not_at_all(split):
    first = Contestant("LIF", "width", build("LIF", 3, 8, 4, bidirectional=True).eval())
    with pytest.raises(UnsupportedError, match="bidirectional"):
        measure([first, contestant("GRU")], split, repeats=1)
    with pytest.raises(InputError, match="a name of its own"):
        measure([contestant("ALIF"), contestant("ALIF")], split, repeats=1)
    with pytest.raises(InputError, match="repeats must be at least 1, got 0"):
        measure([contestant("ALIF")], split, repeats=0)


def test_batches(split):
    alone = batches(split, 1)
    assert [tuple(batch.x.shape) for batch in alone] == [(5, 1, 3)] * 3
    assert [int(b) for b in batches(split, 4)[0].lengths] == [9, 5, 5, 7]
    for size in (0, 6):
        with pytest.raises(InputError, match="batch"):
            batches(split, size)


LARGEST = 262_143_328_850


@pytest.fixture
def machine(tmp_path):
    """A powercap tree: two packages, memory, and domains that lie within or around them."""
    names = {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "dram",
        "intel-rapl:1": "package-1",
        "intel-rapl:2": "psys",
        "intel-rapl-mmio:0": "package-0",
    }
    for folder, name in names.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "name").write_text(name + "\n")
        (tmp_path / folder / "max_energy_range_uj").write_text(f"{LARGEST}\n")
        (tmp_path / folder / "energy_uj").write_text("1000000\n")
    return tmp_path


@pytest.fixture
def domains(machine):
    return energy_counters.find_domains(machine).domains


def put(machine, **counters):
    for name, value in counters.items():
        folder = {"package0": "intel-rapl:0", "dram": "intel-rapl:0:1", "package1": "intel-rapl:1"}
        (machine / folder[name] / "energy_uj").write_text(f"{value}\n")


def test_nothing_is_counted_twice(machine):
    result = energy_counters.find_domains(machine)
    assert result.why_not is None
    assert [domain.name for domain in result.domains] == ["package-0", "dram", "package-1"]


@pytest.mark.parametrize(
    ("first", "second", "joules"),
    [
        ({}, {"package0": 3_000_000, "dram": 1_500_000}, 2.5),
        # a counter that wraps around
        ({"package1": LARGEST - 250_000}, {"package1": 750_000, "package0": 2_000_000}, 2.0),
    ],
)
def test_joules_of_files_that_change(machine, domains, first, second, joules):
    put(machine, **first)
    before = energy_counters.read(domains)
    put(machine, **second)
    assert energy_counters.joules(domains, before, energy_counters.read(domains)) == joules


def test_readings_that_do_not_fit(domains):
    with pytest.raises(InputError, match="3 domains"):
        energy_counters.joules(domains, (1, 2, 3), (1, 2))


@pytest.mark.parametrize("file", ["energy_uj", "name", "max_energy_range_uj"])
def test_an_unreadable_file_means_not_measured(machine, file):
    path = machine / "intel-rapl:1" / file
    path.unlink()
    path.mkdir()  # reading it fails for root too, where a permission would not
    result = energy_counters.find_domains(machine)
    assert result.domains == ()
    assert result.why_not.startswith("not measured on this machine")
    assert file in result.why_not


def test_a_file_without_a_number_is_an_error(machine, domains):
    put(machine, dram="")
    with pytest.raises(DataError, match="root"):
        energy_counters.read(domains)
    assert energy_counters.find_domains(machine).why_not.startswith("not measured on this machine")


def test_only_parts_are_not_a_machine(tmp_path):
    (tmp_path / "intel-rapl:0").mkdir()
    (tmp_path / "intel-rapl:0" / "name").write_text("psys")
    assert "psys" in energy_counters.find_domains(tmp_path).why_not


def test_idle_power_is_subtracted(machine, domains):
    def work():
        put(machine, package0=9_000_000)
        return 4

    run = window(domains, work)
    assert run.joules == 8.0
    assert run.inferences == 4
    assert net(Window(10.0, 5.0, 0), run._replace(seconds=2.0)) == 1.0  # (8 J - 2 W 2 s) / 4
    with pytest.raises(InputError, match="inference"):
        net(Window(10.0, 5.0, 0), Window(1.0, 1.0, 0))


def test_rows_have_joules_where_there_are_counters(machine, split):
    contestants = [contestant("LIF")]
    result = measure(contestants, split, sizes=(4,), repeats=1, joule_seconds=0.01, root=machine)
    assert result.no_joules is None
    assert [row["joules"] for row in result.rows] == [0.0]  # these counters stand still
