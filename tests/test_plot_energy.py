"""Figures of energy estimates: what is drawn is what was given."""

import copy

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from test_report import example_results

from spikern.cost.break_even import COMPARED, compare_energy
from spikern.cost.counting import count
from spikern.cost.estimates import VIEWS, energy
from spikern.cost.prices import tables
from spikern.layers.network import build
from spikern.plot import estimates
from spikern.train.calibration import calibrate

ENERGY = example_results(("LIF", "RNN", "LSTM"))["energy"]
ESTIMATES, COMPARISONS = ENERGY["estimates"], ENERGY["statements"]


@pytest.fixture
def axis():
    return Figure().add_subplot()


def lengths(axis):
    """The length of every stacked bar by its lane, from the top."""
    rows = {}
    for bar in axis.patches:
        rows[round(bar.get_y(), 6)] = rows.get(round(bar.get_y(), 6), 0.0) + bar.get_width()
    return [rows[y] for y in sorted(rows)]


def test_a_bar_is_as_long_as_its_estimate(axis):
    estimates.parts(axis, ESTIMATES, "45nm_fp32")
    expected = [
        1e-12 * sum(e["parts"].values())
        for e in ESTIMATES
        if e["table"] == "45nm_fp32" and e["view"] in COMPARED
    ]
    # sums of the same floats in another order
    np.testing.assert_allclose(lengths(axis), expected, rtol=1e-12)
    assert axis.get_xlim()[0] == 0.0
    assert [t.get_text() for t in axis.get_yticklabels()] == [*COMPARED] * 3


def test_shares_are_whole(axis):
    estimates.shares(axis, ESTIMATES, "45nm_int8")
    np.testing.assert_allclose(lengths(axis), [1.0] * 9, rtol=1e-12)


def test_a_view_without_an_estimate_has_no_bar(axis):
    estimates.parts(axis, ESTIMATES, "loihi1")  # it prices one model, and registers not at all
    assert len(lengths(axis)) == 2


def test_every_kind_of_an_estimate_is_drawn():
    """A kind that no group holds would be left out of its bar."""
    _ = torch.manual_seed(0)
    held = {kind for kinds, _, _ in estimates.PARTS.values() for kind in kinds}
    x = (torch.rand(20, 4, 3) < 0.3).float()
    sparse = build("LIF", 3, 40, 2)
    with torch.no_grad():
        sparse.body.weight_hh_l0[:, 1:] = 0.0
    seen = set()
    for network in (sparse, build("LSTM", 3, 8, 2, "mean")):
        counts = count(network, x, events=True)
        for table in tables().values():
            for view in VIEWS:
                found = energy(counts, table, view)
                seen |= set() if found is None else set(found.parts)
    assert seen == held


def test_every_ratio_is_a_dot_and_every_lane_an_interval(axis):
    estimates.ratios(axis, COMPARISONS)
    given = sorted(x["ratio"] for s in COMPARISONS for x in s["lines"] if x["ratio"] is not None)
    dots = sorted(float(line.get_xdata()[0]) for line in axis.lines if line.get_marker() != "None")
    assert dots == given
    assert axis.get_xscale() == "log"
    low, high = axis.get_xlim()
    assert low <= 0.5 < 2.0 <= high
    texts = [t.get_text() for t in axis.texts]
    assert texts == ["RNN ÷ LIF", "LSTM ÷ LIF"]
    assert [k.get_label() for k in estimates.table_keys(COMPARISONS)] == ["45nm_fp32", "45nm_int8"]


def test_a_break_even_line_passes_through_the_network_and_through_1_where_it_says(axis):
    _ = torch.manual_seed(0)
    spiking, twin = build("LIF", 4, 30, 3), build("RNN", 4, 16, 3)
    x = torch.randn(40, 8, 4)
    calibrate(spiking.body, x, rate=0.1)
    comparison = compare_energy(count(spiking, x), count(twin, x), tables()).as_dict()
    estimates.break_even(axis, comparison, "read-modify-write")
    priced = [
        line
        for line in comparison["lines"]
        if line["view"] == "read-modify-write" and line["ratio"] is not None
    ]
    curves = [line for line in axis.lines if len(line.get_xdata()) > 2]
    assert len(curves) == len(priced) == 4
    crossings = 0
    for curve, line in zip(curves, priced):
        rates, ratios = curve.get_data()
        # between two of 200 points on a log axis a line is off by less than their distance
        assert np.interp(comparison["rate"], rates, ratios) == pytest.approx(
            line["ratio"], rel=1e-3
        )
        even = line["break_even"]["rate"]
        if even is not None and even > estimates.RATES[0]:
            assert np.interp(even, rates, ratios) == pytest.approx(1.0, rel=1e-3)
            crossings += 1
    assert crossings


def test_a_table_never_shares_its_look(axis):
    many = copy.deepcopy(COMPARISONS[:1])
    many[0]["lines"] = [{**many[0]["lines"][0], "table": f"t{k}", "ratio": 1.0} for k in range(6)]
    looks = estimates.table_looks(many)
    assert len(set(looks.values())) == 6
    assert len({marker for _, marker, _ in looks.values()}) == 6
