"""Energy is affine in the firing rate, so scaled counts must lie on the lines of a comparison."""

import json
import re
from dataclasses import replace

import pytest
import torch
from engine_cases import dyadic_layer, events
from torch import nn

from spikern._utils.errors import InputError
from spikern.cost.break_even import COMPARED, break_even, compare_energy, spikes_per_synapse
from spikern.cost.counting import count
from spikern.cost.counts import silent
from spikern.cost.estimates import Surroundings, energy
from spikern.cost.prices import tables
from spikern.layers.network import Network
from spikern.layers.rnn import Readout
from spikern.report import energy_comparison


def network():
    body, readout = dyadic_layer("ALIF", 6, 17, 2), dyadic_layer("LI", 17, 3)
    return Network(body, readout, "every_step")


@pytest.fixture(scope="module")
def counted():
    """A spiking network and an LSTM on the same events."""
    x = events(40, 3, 6)
    with torch.no_grad():
        lstm = nn.Sequential(nn.LSTM(6, 9), nn.Linear(9, 3))
        return count(network(), x, events=True), count(lstm, x)


def scaled(counts, factor):
    """The same counts if every neuron had fired `factor` times as often."""
    firing = {layer.name for layer in counts.layers if layer.spiking}
    times = lambda steps: tuple(factor * n for n in steps)  # noqa: E731
    layers = []
    for layer in counts.layers:
        connections = tuple(
            replace(c, arrivals=times(c.arrivals), ops=times(c.ops)) if c.source in firing else c
            for c in layer.connections
        )
        layers.append(replace(layer, spikes=times(layer.spikes), connections=connections))
    return replace(counts, layers=tuple(layers))


def test_the_break_even_rate_is_where_the_estimates_are_equal(counted):
    """A twin that costs what the network would at three times its rate: break-even is there."""
    mine, _ = counted
    compared = 0
    for table in tables().values():
        for view in COMPARED:
            now, least = energy(mine, table, view), energy(silent(mine), table, view)
            if now is None:
                continue
            tripled = energy(scaled(mine, 3), table, view)
            found = break_even(0.01, now.pj, least.pj, tripled.pj)
            # exact but for the rounding of sums of prices
            assert found.rate == pytest.approx(0.03, rel=1e-9), (table.name, view)
            compared += 1
    assert compared


def test_silence_is_the_limit_of_ever_fewer_spikes(counted):
    mine, _ = counted
    still = silent(mine)
    assert still == scaled(mine, 0)
    assert still.ops.spikes == 0
    assert still.synaptic_events()["input"] == sum(still["hidden 0"].synaptic(True, "input")) > 0
    assert still.ops.updates == mine.ops.updates
    twice = silent(still)
    assert twice == still


def test_a_comparison_holds_every_table_and_view(counted):
    mine, twin = counted
    found = compare_energy(mine, twin, tables())
    assert [(x.table, x.view) for x in found.ratios] == [(t, v) for t in tables() for v in COMPARED]
    for x in found.ratios:
        table = tables()[x.table]
        a, b = energy(mine, table, x.view), energy(twin, table, x.view)
        assert (x.spiking_pj, x.twin_pj) == (a and a.pj, b and b.pj)
        if x.ratio is not None:
            assert x.ratio == x.twin_pj / x.spiking_pj
            assert x.cap > x.ratio
        if x.break_even.rate is not None:
            assert (x.break_even.rate > found.rate) == (x.ratio > 1)
            assert x.room == x.break_even.rate / found.rate
    ratios = [x.ratio for x in found.ratios if x.ratio is not None]
    assert (found.low, found.high) == (min(ratios), max(ratios))
    assert not any(x.ratio for x in found.ratios if x.table in ("22nm_yan", "loihi1"))


def test_the_rate_and_the_spikes_per_synapse_by_hand():
    layer = dyadic_layer("LIF", 4, 5)
    with torch.no_grad():
        for weight in layer.parameters():
            weight[weight == 0] = 1 / 256
    x = events(30, 2, 4)
    with torch.no_grad():
        z, _ = layer(x)
        counts = count(layer, x, events=True)
    assert counts.rate == float(z.sum()) / (30 * 2 * 5)
    crossing = float(x.sum()) * 5 + float(z[:-1].sum()) * 5
    assert spikes_per_synapse(counts) == crossing / (4 * 5 + 5 * 5) / 2


def test_words_and_json(counted):
    found = compare_energy(*counted, tables(), names=("ALIF", "LSTM"))
    words = energy_comparison(found.as_dict())
    assert re.match(r"The energy estimate of ALIF is .* (lower|higher) than that of LSTM", words)
    assert "loihi1 (operations, registers, read-modify-write)" in words
    assert words.count("\n") < 20
    again = json.loads(json.dumps(found.as_dict()))
    assert again["low"] == found.low
    assert again["lines"][0]["break_even"] == found.ratios[0].break_even._asdict()


@pytest.mark.parametrize(
    ("rate", "own", "silent_own", "twin", "why"),
    [
        (0.1, 3.0, 1.0, None, "no estimate"),
        (0.0, 1.0, 1.0, 2.0, "nothing fired"),
        (0.1, 3.0, 1.0, 1.0, "updates alone cost more"),
        (0.1, 3.0, 1.0, 1000.0, "even if all neurons fire"),
    ],
)
def test_where_there_is_no_break_even_it_says_why(rate, own, silent_own, twin, why):
    found = break_even(rate, own, silent_own, twin)
    assert found.rate is None
    assert why in found.why


def test_a_silent_network_has_a_comparison_and_no_break_even(counted):
    mine, twin = counted
    found = compare_energy(silent(mine), twin, tables())
    assert found.rate == 0
    assert all(x.break_even.rate is None for x in found.ratios)
    assert all(x.cap == x.ratio for x in found.ratios)
    assert any(x.ratio for x in found.ratios)


def test_the_twin_may_take_longer(counted):
    """Static power over another time; the rest is untouched."""
    mine, twin = counted
    chosen = {"45nm_int8": tables()["45nm_int8"]}
    fast, slow = (Surroundings(static_watts=1e-3, seconds=s) for s in (1e-6, 3e-6))
    plain = compare_energy(mine, twin, chosen).ratios[0]
    found = compare_energy(mine, twin, chosen, surroundings=fast, twin_surroundings=slow).ratios[0]
    assert found.spiking_pj == pytest.approx(plain.spiking_pj + 1e3, rel=1e-12)
    assert found.twin_pj == pytest.approx(plain.twin_pj + 3e3, rel=1e-12)


def test_nothing_priced_is_said_so(counted):
    found = compare_energy(*counted, {"loihi1": tables()["loihi1"]})
    assert (found.low, found.high) == (None, None)
    assert energy_comparison(found.as_dict()).startswith("No table prices both")


def test_the_first_network_must_be_able_to_fire(counted):
    _, twin = counted
    with pytest.raises(InputError, match="no neuron"):
        compare_energy(twin, twin, tables())


def test_readout_is_not_a_firing_layer(counted):
    mine, _ = counted
    assert isinstance(network().readout, Readout)
    assert not mine["readout"].spiking
