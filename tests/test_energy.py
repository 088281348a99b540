"""Energy tables: prices times counts, files checked line by line, no price is no estimate."""

import tomllib

import pytest
import torch
from engine_cases import dyadic_layer, events
from torch import nn

from spikern._utils.errors import DataError, InputError
from spikern.cost.counting import count
from spikern.cost.counts import Ops
from spikern.cost.estimates import Surroundings, energy, estimate
from spikern.cost.prices import FOLDER, read, tables
from spikern.layers.network import Network
from spikern.layers.rnn import Readout, SpikingRNN


def test_energy_is_counts_times_prices():
    ops = Ops(ac=100, mac=10, updates={"mul": 3, "tanh": 2}, neuron_updates=4, spikes=1)
    fp32, int8, loihi = (tables()[n] for n in ("45nm_fp32", "45nm_int8", "loihi1"))
    assert estimate(ops, fp32) == pytest.approx(100 * 0.9 + 10 * 4.6 + 3 * 3.7 + 2 * 4.6)
    assert estimate(ops, int8) == pytest.approx(100 * 0.03 + 10 * 0.23 + 3 * 0.2 + 2 * 0.23)
    assert estimate(ops, loihi) is None
    events_only = Ops(ac=100, neuron_updates=4, spikes=1)
    assert estimate(events_only, loihi) == pytest.approx(2360 + 81 + 3 * 52 + 1.7)


@torch.no_grad()
def test_the_convention_of_tclif_prices_what_it_prints():
    """mn rate_in + nn rate + n rate accumulates and n MAC; LSTM 4 (mn + nn) + 17 n."""
    table = tables()["tclif"]
    m, n, steps = 7, 11, 40
    layer = dyadic_layer("LIF", m, n)
    counts = count(layer, events(steps, 1, m), events=True)
    accumulates = counts.ops.ac + counts.ops.spikes
    assert energy(counts, table).pj == pytest.approx(accumulates * 0.9 + steps * n * 4.6)
    x = torch.ones(steps, 1, m)
    lstm = 4 * (m * n + n * n) + 17 * n
    assert energy(count(nn.LSTM(m, n), x), table).pj == pytest.approx(steps * lstm * 4.6)
    assert energy(count(nn.GRU(m, n), x), table) is None  # the source gives no number for it
    assert energy(count(nn.RNN(m, n), x), table) is None


def test_unpriced_operations_have_no_estimate():
    assert estimate(Ops(updates={"erf": 1}), tables()["45nm_fp32"]) is None
    assert estimate(Ops(ac=1, mac=1), tables()["22nm_yan"]) is None
    assert estimate(Ops(ac=1), tables()["22nm_yan"]) == 0.05448


def test_the_published_prices():
    prices = {name: (t.pj["ac"], t.pj.get("mul")) for name, t in tables().items()}
    assert prices == {
        "45nm_fp32": (0.9, 3.7),
        "45nm_fp16": (0.4, 1.1),
        "45nm_int32": (0.1, 3.1),
        "45nm_int8": (0.03, 0.2),
        "22nm_yan": (0.05448, None),
        "loihi1": (23.6, None),
        "tclif": (0.9, None),
    }
    for name, table in tables().items():
        if name.startswith("45nm"):
            # a multiply-accumulate is one of each; one rounding
            assert table.pj["mac"] == pytest.approx(table.pj["add"] + table.pj["mul"], rel=1e-12)
            assert table.sram == tables()["45nm_fp32"].sram
            assert table.dram.pj == 1300.0


@torch.no_grad()
def test_surroundings_are_stated_or_left_out():
    network = Network(dyadic_layer("LIF", 4, 5), Readout(5, 2), "last")
    counts = count(network, events(20, 2, 4), events=True)
    table = tables()["45nm_int8"]
    plain = energy(counts, table)
    assert set(plain.parts) == {"synapses", "neuron updates"}
    stated = energy(counts, table, surroundings=Surroundings(3.0, 1e-6, 0.5))
    assert stated.parts["routing"] == counts.ops.spikes * 3.0 / 2
    assert stated.parts["static"] == 0.5 * 1e-6 * 1e12
    chip = energy(counts, table, "registers")
    outside = energy(counts, table, "registers", Surroundings(dram=True))
    assert outside.parts["weights"] == 130 * chip.parts["weights"]
    assert outside.parts["states"] == chip.parts["states"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"routing_pj": -1.0}, "routing_pj"),
        ({"static_watts": float("nan"), "seconds": 1.0}, "static_watts"),
        ({"static_watts": 1.0}, "both or neither"),
    ],
)
def test_impossible_surroundings_are_refused(settings, message):
    counts = count(nn.Linear(3, 2), torch.ones(1, 1, 3))
    with pytest.raises(InputError, match=message):
        energy(counts, tables()["45nm_fp32"], surroundings=Surroundings(**settings))


GOOD = (FOLDER / "45nm_int8.toml").read_text()
LINES = GOOD.splitlines()


def line(start):
    """The line of the shipped table that starts so."""
    return next(n for n, words in enumerate(LINES, 1) if words.startswith(start))


@pytest.mark.parametrize(
    ("right", "wrong", "at", "message"),
    [
        ("mac = 0.23", "mac = -0.23", "mac", "mac must be a number >= 0, got -0.23"),
        ("tanh = 0.23", "tanh = nan", "tanh", "tanh must be a number >= 0, got nan"),
        ("tanh = 0.23", 'tanh = "0.23"', "tanh", "got '0.23'"),
        ("\nac = 0.03", "", "[pj]", r"\[pj\] lacks 'ac'"),
        ("mul = 0.2", "mull = 0.2", "mul", "no operation is called 'mull'"),
        ("weights = 8", "weights = 0", "weights", "whole number > 0"),
        ("states = 16\n", "", "[bits]", r"\[bits\] lacks 'states'"),
        ("pj = [10.0, 20.0, 100.0]", "pj = [10.0, 20.0]", "pj = [", "one pj > 0 for each"),
        ("bytes = [8192, ", "bytes = [40000, ", "pj = [", "bytes must rise"),
        ("pj = 1300.0", "", "[dram]", r"\[dram\] lacks 'pj'"),
        ('"by operation"', '"by magic"', "updates", "updates must be one of"),
        ('"by operation"', '"by neuron"', "[pj]", "lacks 'update_active'"),
        ('node = "45 nm"', 'node = ""', "node", "needs node = a few words"),
    ],
)
def test_a_bad_entry_is_refused_with_its_line(tmp_path, right, wrong, at, message):
    path = tmp_path / "mine.toml"
    assert GOOD.count(right) == 1
    path.write_text(GOOD.replace(right, wrong))
    with pytest.raises(DataError, match=message) as refused:
        read(path)
    assert f"mine.toml, line {line(at)}:" in str(refused.value)


def test_a_file_that_is_no_table_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD + "what =\n")
    with pytest.raises(DataError, match=f"line {len(LINES) + 1}"):
        read(path)
    path.write_text(GOOD.replace("[dram]", "[drum]"))
    with pytest.raises(DataError, match="unknown entry 'drum'"):
        read(path)
    path.write_text(GOOD.split("[pj]")[0])
    with pytest.raises(DataError, match=r"a section \[pj\]"):
        read(path)
    with pytest.raises(DataError, match="cannot read"):
        read(tmp_path / "none.toml")


def test_a_user_adds_a_table_by_writing_a_file(tmp_path, monkeypatch):
    (tmp_path / "mine.toml").write_text(GOOD.replace("ac = 0.03", "ac = 1.5"))
    assert tables(tmp_path)["mine"].pj["ac"] == 1.5
    monkeypatch.setenv("SPIKERN_TABLES", str(tmp_path))
    assert len(tables()) == 8
    (tmp_path / "loihi1.toml").write_text(GOOD)
    with pytest.raises(DataError, match="rename it"):
        tables()
    monkeypatch.setenv("SPIKERN_TABLES", str(tmp_path / "none"))
    with pytest.raises(DataError, match="no folder"):
        tables()


def test_every_table_says_where_it_is_from_and_what_it_leaves_out():
    for path in FOLDER.glob("*.toml"):
        raw = tomllib.loads(path.read_text())
        assert all(len(raw[word]) > 3 for word in ("title", "source", "node", "precision"))
        assert len(raw["not_modelled"]) > 40


def test_every_built_in_neuron_has_an_estimate():
    for name in ("LIF", "ALIF"):
        counts = count(SpikingRNN(name, 3, 4), torch.ones(2, 1, 3))
        assert energy(counts, tables()["45nm_fp16"], "read-modify-write").pj > 0
