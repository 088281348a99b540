"""Energy: prices times counts, tables checked line by line, comparisons and break-even rates.

Energy is affine in the firing rate, so scaled counts must lie on the lines of a comparison.
"""

import importlib
import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from engine_cases import dyadic_layer, events
from torch import nn

from spikern._utils.errors import DataError, InputError
from spikern.cost.break_even import COMPARED, break_even, compare_energy, spikes_per_synapse
from spikern.cost.counting import count
from spikern.cost.counts import Ops, silent
from spikern.cost.estimates import Surroundings, energy, estimate
from spikern.cost.prices import FOLDER, conventions, read, tables
from spikern.layers.network import Network, build
from spikern.layers.rnn import Readout
from spikern.report import energy_comparison


def test_energy_is_counts_times_prices():
    ops = Ops(ac=100, mac=10, updates={"mul": 3, "tanh": 2}, neuron_updates=4, spikes=1)
    fp32, int8, loihi = (tables()[n] for n in ("45nm_fp32", "45nm_int8", "loihi1"))
    assert estimate(ops, fp32) == pytest.approx(100 * 0.9 + 10 * 4.6 + 3 * 3.7 + 2 * 4.6)
    assert estimate(ops, int8) == pytest.approx(100 * 0.03 + 10 * 0.23 + 3 * 0.2 + 2 * 0.23)
    assert estimate(ops, loihi) is None
    only_events = Ops(ac=100, neuron_updates=4, spikes=1)
    assert estimate(only_events, loihi) == pytest.approx(2360 + 81 + 3 * 52 + 1.7)


@torch.no_grad()
def test_the_convention_of_tclif_prices_what_it_prints():
    """mn rate_in + nn rate + n rate accumulates and n MAC; LSTM 4 (mn + nn) + 17 n."""
    table = conventions()["tclif"]
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
    }
    assert not set(conventions()) & set(tables())
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
        ("pj = 1300.0", "pj = [1300.0]", "pj = 13", r"pj must be one number, got \[1300.0\]"),
        ("weights = 8", "weights = [8]", "weights", "weights must be one number"),
        ("\nac = 0.03", "\nac = [0.03]", "ac", "ac must be one number"),
        ("pj = [10.0, 20.0, 100.0]", "pj = 10.0", "pj = [", "pj must be a list, got 10.0"),
        ("states = 16\n", "more = 1\nstates = 16\n", "states", r"unknown entry 'more' in \[bits\]"),
        ('"by operation"', '"by magic"', "updates", "updates must be one of"),
        ('"by operation"', '"by neuron"', "[pj]", "lacks 'update_active'"),
        ('node = "45 nm"', 'node = ""', "node", "needs node = a few words"),
    ],
)
def test_a_bad_entry_is_refused_with_its_line(tmp_path, right, wrong, at, message):
    path = tmp_path / "mine.toml"
    assert GOOD.count(right) == 1
    path.write_text(GOOD.replace(right, wrong))
    with pytest.raises(DataError, match=message) as error:
        read(path)
    assert f"mine.toml, line {line(at)}:" in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "what =\n", f"line {len(LINES) + 1}"),
        (GOOD.replace("[dram]", "[drum]"), "unknown entry 'drum'"),
        (GOOD.split("[pj]")[0], r"a section \[pj\]"),
        (None, "cannot read"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=message):
        read(path)


def test_a_user_adds_a_table_by_writing_a_file(tmp_path, monkeypatch):
    (tmp_path / "mine.toml").write_text(GOOD.replace("ac = 0.03", "ac = 1.5"))
    assert tables(tmp_path)["mine"].pj["ac"] == 1.5
    monkeypatch.setenv("SPIKERN_TABLES", str(tmp_path))
    assert len(tables()) == 7
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


# Comparisons


@pytest.fixture(scope="module")
def counted():
    """A spiking network and an LSTM on the same events."""
    x = events(40, 3, 6)
    body, readout = dyadic_layer("ALIF", 6, 17, 2), dyadic_layer("LI", 17, 3)
    with torch.no_grad():
        network = Network(body, readout, "every_step")
        lstm = nn.Sequential(nn.LSTM(6, 9), nn.Linear(9, 3))
        return count(network, x, events=True), count(lstm, x)


def scaled(counts, factor):
    """The same counts if every neuron had fired `factor` times as often."""
    firing = {layer.name for layer in counts.layers if layer.spiking}
    times = lambda steps: tuple(factor * n for n in steps)  # noqa: E731
    layers = []
    for layer in counts.layers:
        connections = tuple(
            replace(c, **{k: times(getattr(c, k)) for k in ("arrivals", "ops", "reached")})
            if c.source in firing
            else c
            for c in layer.connections
        )
        layers.append(replace(layer, spikes=times(layer.spikes), connections=connections))
    return replace(counts, layers=tuple(layers))


def test_the_break_even_rate_is_where_the_estimates_are_equal(counted):
    """A twin that costs what the network would at three times its rate: break-even is there."""
    own, _ = counted
    compared = 0
    for table in tables().values():
        for view in COMPARED:
            now, least = energy(own, table, view), energy(silent(own), table, view)
            if now is None:
                continue
            tripled = energy(scaled(own, 3), table, view)
            even = break_even(0.01, now.pj, least.pj, tripled.pj)
            # exact but for the rounding of sums of prices
            assert even.rate == pytest.approx(0.03, rel=1e-9), (table.name, view)
            compared += 1
    assert compared


def test_silence_is_the_limit_of_ever_fewer_spikes(counted):
    own, _ = counted
    still = silent(own)
    assert still == silent(still) == scaled(own, 0)
    assert still.ops.spikes == 0
    assert still.synaptic_events()["input"] == sum(still["hidden 0"].synaptic(True, "input")) > 0
    assert still.ops.updates == own.ops.updates
    assert not own["readout"].spiking


def test_a_comparison_holds_every_table_and_view(counted):
    own, twin = counted
    comparison = compare_energy(own, twin, tables())
    places = [(x.table, x.view) for x in comparison.ratios]
    assert places == [(t, v) for t in tables() for v in COMPARED]
    for x in comparison.ratios:
        table = tables()[x.table]
        a, b = energy(own, table, x.view), energy(twin, table, x.view)
        assert (x.spiking_pj, x.twin_pj) == (a and a.pj, b and b.pj)
        if x.ratio is not None:
            assert x.ratio == x.twin_pj / x.spiking_pj
            assert x.cap > x.ratio
        if x.break_even.rate is not None:
            assert (x.break_even.rate > comparison.rate) == (x.ratio > 1)
            assert x.room == x.break_even.rate / comparison.rate
    ratios = [x.ratio for x in comparison.ratios if x.ratio is not None]
    assert (comparison.low, comparison.high) == (min(ratios), max(ratios))
    assert not any(x.ratio for x in comparison.ratios if x.table in ("22nm_yan", "loihi1"))
    assert all(x.ratio for x in comparison.ratios if x.table.startswith("45nm"))


@torch.no_grad()
def test_the_rate_and_the_spikes_per_synapse_by_hand():
    layer, x = dyadic_layer("LIF", 4, 5), events(30, 2, 4)
    for weight in layer.parameters():
        weight[weight == 0] = 1 / 256
    z, _ = layer(x)
    counts = count(layer, x, events=True)
    assert counts.rate == float(z.sum()) / (30 * 2 * 5)
    crossing = float(x.sum()) * 5 + float(z[:-1].sum()) * 5
    assert spikes_per_synapse(counts) == crossing / (4 * 5 + 5 * 5) / 2


def test_a_comparison_as_text_and_as_json(counted):
    comparison = compare_energy(*counted, tables(), names=("ALIF", "LSTM"))
    text = energy_comparison(comparison.as_dict())
    assert re.match(r"The energy estimate of ALIF is .* (lower|higher) than that of LSTM", text)
    assert "loihi1 (operations, registers, read-modify-write)" in text
    assert text.count("\n") < 20
    content = json.loads(json.dumps(comparison.as_dict()))
    assert content["low"] == comparison.low
    assert content["lines"][0]["break_even"] == comparison.ratios[0].break_even._asdict()


@pytest.mark.parametrize(
    ("rate", "own", "silent_own", "twin", "why"),
    [
        (0.1, 3.0, 1.0, None, "no estimate"),
        (0.0, 1.0, 1.0, 2.0, "nothing fired"),
        (0.1, 3.0, 1.0, 1.0, "updates alone cost more"),
        (0.1, 3.0, 1.0, 1000.0, "even if all neurons fire"),
        (0.1, 2.0, 2.0, 3.0, "no dearer"),
        (0.1, 1.0, 2.0, 3.0, "no dearer"),
    ],
)
def test_where_there_is_no_break_even_it_says_why(rate, own, silent_own, twin, why):
    even = break_even(rate, own, silent_own, twin)
    assert even.rate is None
    assert why in even.why


def test_a_silent_network_has_a_comparison_and_no_break_even(counted):
    own, twin = counted
    comparison = compare_energy(silent(own), twin, tables())
    assert comparison.rate == 0
    assert all(x.break_even.rate is None for x in comparison.ratios)
    assert all(x.cap == x.ratio for x in comparison.ratios)
    assert any(x.ratio for x in comparison.ratios)


def test_the_twin_may_take_longer(counted):
    """Static power over another time; the rest is untouched."""
    table = {"45nm_int8": tables()["45nm_int8"]}
    fast, slow = (Surroundings(static_watts=1e-3, seconds=s) for s in (1e-6, 3e-6))
    plain = compare_energy(*counted, table).ratios[0]
    static = compare_energy(*counted, table, surroundings=fast, twin_surroundings=slow).ratios[0]
    assert static.spiking_pj == pytest.approx(plain.spiking_pj + 1e3, rel=1e-12)
    assert static.twin_pj == pytest.approx(plain.twin_pj + 3e3, rel=1e-12)


def test_a_comparison_without_prices_says_so(counted):
    comparison = compare_energy(*counted, {"loihi1": tables()["loihi1"]})
    assert (comparison.low, comparison.high) == (None, None)
    assert energy_comparison(comparison.as_dict()).startswith("No table prices both")


def test_the_first_network_must_be_able_to_fire(counted):
    _, twin = counted
    with pytest.raises(InputError, match="no neuron"):
        compare_energy(twin, twin, tables())


# An inference beside a brain and two language models


@pytest.fixture
def quantities(monkeypatch):
    """The function of the module beside the experiment."""
    folder = Path(__file__).parent.parent / "experiments" / "article"
    monkeypatch.syspath_prepend(str(folder))
    return importlib.import_module("scale").quantities


def test_the_figures_are_those_of_the_article(quantities, counted):
    counts, _ = counted
    inference_energy = energy(counts, tables()["45nm_int8"], "registers")
    found = {one.name: one for one in quantities(inference_energy, counts, seconds=2.0)}
    assert round(*found["one query to BLOOM"].joules, -2) == 11_200  # 11.2 kJ
    assert found["a brain in that time"].joules == (40.0, 100.0)
    assert found["training PaLM once"].joules == pytest.approx((1.224e13,))
    (inference,) = found["one inference, estimate"].joules
    assert inference == inference_energy.pj * 1e-12
    synapses = sum(c.synapses for c in counts.connections)
    synapse = found["one synapse of the network, estimate"]
    assert synapse.joules == (inference / synapses,)
    assert f"{synapses:,} synapses" in synapse.arithmetic
    heights = [one.joules[-1] for one in found.values()]
    assert heights == sorted(heights)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf")])
def test_a_duration_that_is_not_positive_is_refused(quantities, counted, seconds):
    counts, _ = counted
    with pytest.raises(InputError, match="seconds"):
        quantities(energy(counts, tables()["45nm_fp32"]), counts, seconds)


@pytest.mark.parametrize("routing", ["fixed", "learned"])
@pytest.mark.parametrize("sleep", ["frozen", "decaying"])
def test_experts_that_spikes_wake_cost_nothing_without_spikes(sleep, routing):
    """The estimate of no spikes is that of a run in which nobody fires."""
    settings = {"experts": 4, "awake": 2, "sleep": sleep, "routing": routing}
    network = build("LIF", 12, 16, 3, "mean", num_layers=2, **settings)
    x = (torch.rand(50, 4, 12) < 0.2).float()
    with torch.no_grad():
        for layer in range(2):
            network.body.get_parameter(f"weight_ih_l{layer}").mul_(4)
    counted = count(network, x, events=True)
    assert counted["hidden 1"].ops.spikes > 0
    network.body.set_constants(v_th=1e6)
    nobody = count(network, x, events=True)
    own, still = silent(counted), nobody
    assert own["hidden 1"].ops == still["hidden 1"].ops
    assert own["readout"].ops == still["readout"].ops
    assert own.ops == still.ops


def test_a_rate_that_sleeping_neurons_cannot_reach_breaks_nothing_even():
    network = build("LIF", 12, 32, 3, "mean", experts=8, awake=1)
    x = (torch.rand(50, 4, 12) < 0.2).float()
    with torch.no_grad():
        network.body.weight_ih_l0.mul_(4)
    own = count(network, x, events=True)
    assert 0 < own.rate < own.highest_rate <= 1 / 8
    twin = count(build("RNN", 12, 9, 3, "mean"), x, events=True)
    found = [ratio.break_even for ratio in compare_energy(own, twin, tables()).ratios]
    assert all(even.rate is None or even.rate <= own.highest_rate for even in found)
    assert any("all neurons that are awake fire" in even.why for even in found)


def test_counts_of_other_networks_are_not_added():
    x = torch.ones(3, 1, 4)
    counted = count(build("LIF", 4, 6, 2), x, events=True)
    for other in (build("ALIF", 4, 6, 2), build("LIF", 4, 6, 2, recurrent=False)):
        with pytest.raises(InputError, match="of the same network"):
            counted + count(other, x, events=True)
    with pytest.raises(InputError, match="counts must be Counts, got Ops"):
        energy(counted.ops, tables()["45nm_fp32"])
    with pytest.raises(InputError, match="table must be EnergyTable, got str"):
        energy(counted, "45nm_fp32")
