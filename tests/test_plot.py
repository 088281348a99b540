"""Figures: what is drawn is what was given."""

from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from test_report import example_results

from spikern import plot
from spikern._utils.errors import InputError
from spikern.cost import summary
from spikern.cost.break_even import COMPARED, compare_energy
from spikern.cost.counting import count
from spikern.cost.estimates import Surroundings, energy
from spikern.cost.prices import tables
from spikern.data.tinyshakespeare import split
from spikern.layers.network import build
from spikern.neurons.surrogate import SURROGATES
from spikern.plot import estimates
from spikern.retrieval import Recalling, remember
from spikern.retrieval.counting import count_recalling
from spikern.train import Epoch, History
from spikern.train.calibration import calibrate

MODELS = example_results(("LIF", "GRU"))["models"]
MODELS[0]["rates_by_layer"] *= 2
ENERGY = example_results(("LIF", "RNN", "LSTM"))["energy"]
ESTIMATES, COMPARISONS = ENERGY["estimates"], ENERGY["statements"]
SPIKES = (np.random.default_rng(0).random((30, 8)) < 0.2).astype(float)
V, A = np.random.default_rng(1).normal(size=(2, 30))
U = V - (0.5 + 0.2 * A)
WEIGHT = np.array([[0.5, 0.0, -1.0], [1e-6, 2.0, 0.0]])


@pytest.fixture
def axis() -> Axes:
    return Figure().add_subplot()


@pytest.mark.parametrize(
    "draw",
    [
        lambda a: plot.raster(SPIKES, axis=a),
        lambda a: plot.raster(0 * SPIKES, axis=a),
        lambda a: plot.raster(torch.from_numpy(SPIKES).requires_grad_(), axis=a),
        lambda a: plot.rates(SPIKES, axis=a),
        lambda a: plot.traces(SPIKES, list("abcdefgh"), axis=a),
        lambda a: plot.phase(V, A, ("v", "a"), U, axis=a),
        lambda a: plot.surrogate([*SURROGATES], axis=a),
        lambda a: plot.connectivity(WEIGHT, axis=a),
        lambda a: plot.weights(WEIGHT, axis=a),
        lambda a: plot.accuracy_against_energy(MODELS, "45nm_fp32", axis=a),
        lambda a: plot.learning_curves(MODELS, axis=a),
        lambda a: plot.operations(MODELS, axis=a),
        lambda a: plot.rates_by_layer(MODELS, axis=a),
    ],
)
def test_every_function_returns_its_axis(axis: Axes, draw: Callable[[Axes], Axes]) -> None:
    assert draw(axis) is axis
    axis.get_figure().canvas.draw()  # type: ignore[union-attr]


def test_the_history_of_a_training_has_a_curve(axis: Axes) -> None:
    epochs = [Epoch(k + 1, 0.5, accuracy, None, 1.0) for k, accuracy in enumerate((0.5, 0.8, 0.7))]
    (_, curve) = plot.learning_curves(History(epochs, best_epoch=2), axis=axis).lines
    assert np.array_equal(curve.get_xydata(), [[1, 0.5], [2, 0.8], [3, 0.7]])


def test_an_axis_is_saved_as_its_figure(axis: Axes, tmp_path: Path) -> None:
    plot.save(axis, tmp_path / "same.svg")
    of_axis = (tmp_path / "same.svg").read_bytes()
    plot.save(axis.figure, tmp_path / "same.svg")
    assert (tmp_path / "same.svg").read_bytes() == of_axis
    with pytest.raises(InputError, match="expected a figure or an axis of one, got ndarray"):
        plot.save(np.array([axis]), tmp_path / "same.svg")


def test_a_raster_has_a_tick_a_spike(axis: Axes) -> None:
    (patch,) = plot.raster(SPIKES, axis=axis).patches
    starts = patch.get_path().vertices[0::2]
    np.testing.assert_allclose(starts, np.argwhere(SPIKES) - np.array([0, 0.45]))


def test_time_is_in_ms_where_a_step_has_a_length(axis: Axes) -> None:
    (patch,) = plot.raster(SPIKES, dt=4.0, axis=axis).patches
    np.testing.assert_allclose(patch.get_path().vertices[0::2, 0], 4.0 * np.nonzero(SPIKES)[0])
    assert axis.get_xlabel() == "time (ms)"
    assert axis.get_xlim() == (-2.0, 118.0)
    plot.traces(SPIKES, [*"abcdefgh"], dt=4.0, axis=axis)
    assert axis.lines[0].get_xdata()[-1] == 4.0 * 29


def test_every_trace_is_drawn_and_named_in_its_colour(axis: Axes) -> None:
    values = np.random.default_rng(2).normal(size=(30, 3))
    plot.traces(torch.from_numpy(values), ["v", "a", "i"], highlight=[2, 0], axis=axis)
    grey, first, second = axis.lines
    for line, k in ((grey, 1), (first, 2), (second, 0)):
        np.testing.assert_array_equal(line.get_ydata(), values[:, k])
    named = {text.get_text(): text.get_color() for text in axis.texts}
    assert named == {"i": first.get_color(), "v": second.get_color()}


def test_a_rate_is_the_share_of_neurons_that_fire(axis: Axes) -> None:
    plot.rates(SPIKES, axis=axis)
    (steps,) = axis.patches
    values, edges, _ = steps.get_data()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(values, SPIKES.mean(1))
    np.testing.assert_array_equal(edges, np.arange(31) - 0.5)


@pytest.mark.parametrize("draw", [plot.raster, plot.rates])
def test_steps_past_a_sample_s_length_are_shaded(axis: Axes, draw: Callable[..., Axes]) -> None:
    cut = SPIKES * (np.arange(30) < 20)[:, None]
    draw(cut, dt=2.0, length=20, axis=axis)
    shade = next(p for p in axis.patches if p.get_facecolor()[:3] == to_rgb(plot.GRID))
    assert shade.get_extents().transformed(axis.transData.inverted()).x0 == pytest.approx(39.0)
    assert axis.get_xlim() == (-1.0, 59.0)


def test_traces_end_with_the_sample(axis: Axes) -> None:
    plot.traces(SPIKES[:, :2], ["a", "b"], length=20, axis=axis)
    assert [len(np.asarray(line.get_xdata())) for line in axis.lines] == [20, 20]
    assert axis.get_xlim() == (-0.5, 29.5)


def test_a_spike_among_many_is_not_too_small_to_see() -> None:
    axis = Figure((3.4, 2.6)).add_subplot()
    z = np.zeros((1000, 5000))
    z[500, 2500] = 1
    (patch,) = plot.raster(z, axis=axis).patches
    low, high = axis.transData.transform(patch.get_path().vertices)[:, 1]
    assert (high - low) * 72 / axis.figure.dpi == pytest.approx(0.7)
    assert patch.get_linewidth() == 0.7


def test_a_phase_marks_the_steps_that_fired_and_the_threshold(axis: Axes) -> None:
    plot.phase(V, A, ("v", "a"), U, axis=axis)
    drawn = {line.get_label(): np.stack(line.get_data(), 1) for line in axis.lines}
    np.testing.assert_array_equal(drawn["step"], np.stack([V, A], 1))
    np.testing.assert_array_equal(drawn["spike"], np.stack([V, A], 1)[U > 0])
    # v - u is rounded once more than the threshold
    np.testing.assert_allclose(drawn["threshold"][:, 0], 0.5 + 0.2 * A, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(drawn["first step"], [[V[0], A[0]]])
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("v", "a")


def test_a_phase_without_u_claims_no_threshold(axis: Axes) -> None:
    plot.phase(V, A, ("v", "a"), axis=axis)
    assert {line.get_label() for line in axis.lines}.isdisjoint({"spike", "threshold"})


@pytest.mark.parametrize("name", SURROGATES)
def test_a_surrogate_is_drawn_as_it_is(axis: Axes, name: str) -> None:
    plot.surrogate(name, axis=axis)
    derivative, primitive, spike = axis.lines
    expected = SURROGATES[name]()
    u = torch.as_tensor(np.asarray(derivative.get_xdata()))
    np.testing.assert_array_equal(derivative.get_ydata(), expected.derivative(u))
    np.testing.assert_array_equal(primitive.get_ydata(), expected.primitive(u))
    assert np.asarray(spike.get_ydata()).tolist() == [0, 0, 1, 1]
    shades = [p.get_extents().transformed(axis.transData.inverted()) for p in axis.patches]
    edges = [(round(s.x0, 9), round(s.x1, 9)) for s in shades]
    assert edges == (
        [(-expected.support, expected.support)] if np.isfinite(expected.support) else []
    )


def test_several_surrogates_share_no_marker_and_the_widest_support(axis: Axes) -> None:
    plot.surrogate([SURROGATES["triangular"](width=0.25), "boxcar"], axis=axis)
    triangular, _, boxcar, _, _ = axis.lines
    assert triangular.get_marker() != boxcar.get_marker()
    assert axis.get_xlim() == (-0.75, 0.75)
    texts = [text.get_text() for text in axis.get_legend().get_texts()]
    assert texts == ["triangular", "boxcar", "derivative", "primitive", "spike", "support"]


def test_no_synapse_is_told_from_a_small_one(axis: Axes) -> None:
    plot.connectivity(WEIGHT, axis=axis)
    (image,) = axis.images
    shown: Any = image.get_array()
    np.testing.assert_array_equal(shown.mask, WEIGHT == 0)
    np.testing.assert_array_equal(shown[~shown.mask], WEIGHT[WEIGHT != 0])
    assert image.get_clim() == (-2.0, 2.0)
    colours = image.to_rgba(shown)
    assert colours[0, 1].tolist() == [1.0, 1.0, 1.0, 1.0]
    assert colours[1, 0, :3].max() < 0.9
    assert axis.get_legend().get_texts()[0].get_text() == "no synapse (33%)"


def test_one_strong_synapse_does_not_bleach_the_others(axis: Axes) -> None:
    w = np.linspace(-1, 1, 400).reshape(20, 20)
    w[3, 4] = 50.0
    plot.connectivity(w, axis=axis)
    low, high = axis.images[0].get_clim()
    assert -low == high == np.sort(np.abs(w).ravel())[-4]
    assert axis.images[0].colorbar.extend == "both"


def test_a_mask_decides_what_is_a_synapse(axis: Axes) -> None:
    mask = np.array([[1, 1, 0], [1, 1, 1]])
    plot.connectivity(WEIGHT, mask, sources={"in": 1, "out": 2}, axis=axis)
    shown: Any = axis.images[0].get_array()
    np.testing.assert_array_equal(shown.mask, mask == 0)
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["in", "out"]
    assert axis.get_xticks().tolist() == [0.0, 1.5]
    assert axis.lines[0].get_xdata() == [0.5, 0.5]


def test_every_synapse_is_in_one_bin_of_its_sign(axis: Axes) -> None:
    plot.weights(WEIGHT, bins=7, axis=axis)
    inhibitory, excitatory = axis.containers
    assert [sum(bar.get_height() for bar in bars) for bars in (inhibitory, excitatory)] == [1, 3]
    assert max(bar.get_x() + bar.get_width() for bar in inhibitory) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda a: plot.raster(SPIKES[:, None], axis=a),
            r"\(T, H\), got shape \(30, 1, 8\); choose one",
        ),
        (lambda a: plot.rates(SPIKES[0], axis=a), r"spikes as \(T, H\), got shape \(8,\)"),
        (lambda a: plot.raster(SPIKES[:0], axis=a), "nothing to draw"),
        (lambda a: plot.raster(SPIKES, length=31, axis=a), "length must lie in 1..30, got 31"),
        (lambda a: plot.raster(SPIKES, length=3, axis=a), "spikes after the sample's 3 steps"),
        (lambda a: plot.raster(SPIKES, dt=0.0, axis=a), "dt is the length of a step in ms"),
        (
            lambda a: plot.traces(SPIKES * np.nan, [*"abcdefgh"], axis=a),
            r"NaN .* first at \(0, 0\)",
        ),
        (lambda a: plot.traces(SPIKES, ["a"], axis=a), "a name for each of 8 traces, got 1"),
        (lambda a: plot.traces(SPIKES, [*"abcdefgh"], [8], axis=a), r"numbers of traces, 0..7"),
        (lambda a: plot.traces([["x"]], ["a"], axis=a), "expected numbers for values"),
        (lambda a: plot.phase(SPIKES, A, ("v", "a"), axis=a), "choose one neuron first"),
        (
            lambda a: plot.phase(V, A[:9], ("v", "a"), axis=a),
            r"as many steps in each, got \[9, 30\]",
        ),
        (lambda a: plot.phase(V, A, "va", axis=a), "expected two names"),
        (lambda a: plot.surrogate("triangel", axis=a), "did you mean 'triangular'"),
        (lambda a: plot.surrogate([], axis=a), "name at least one surrogate"),
        (
            lambda a: plot.connectivity(WEIGHT, WEIGHT.T, axis=a),
            r"mask of shape \(2, 3\) like weight",
        ),
        (lambda a: plot.connectivity(WEIGHT, sources={"x": 2}, axis=a), "add up to 3"),
        (lambda a: plot.weights(0 * WEIGHT, axis=a), "no weight belongs to a synapse"),
        (lambda a: plot.weights(WEIGHT, bins=1, axis=a), "at least 2 bins"),
    ],
)
def test_bad_input_says_what_to_do(
    axis: Axes, draw: Callable[[Axes | None], Axes], message: str
) -> None:
    open_figures = pyplot.get_fignums()
    for given in (axis, None):
        with pytest.raises(InputError, match=message):
            draw(given)
    assert pyplot.get_fignums() == open_figures


def test_a_kind_of_operation_that_never_happened_has_no_dot(axis: Axes) -> None:
    plot.operations(MODELS, axis=axis)
    ac = next(line for line in axis.lines if line.get_label() == "accumulates (AC)")
    assert np.isnan(np.asarray(ac.get_xdata())).tolist() == [False, True]


def test_kinds_differ_in_more_than_colour() -> None:
    look = plot.looks(MODELS)
    assert look["LIF"].marker != look["GRU"].marker
    assert look["LIF"].line != look["GRU"].line


# Machado, Oliveira & Fernandes 2009, doi 10.1109/TVCG.2009.113: full severity, linear RGB.
SEEN_BY = {
    "everyone": np.eye(3),
    "protanopes": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopes": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopes": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
         [0.004733, 0.691367, 0.303900]]
    ),
}  # fmt: skip


def linear(colour: str) -> Any:
    """The linear RGB of an sRGB colour."""
    srgb = np.array(to_rgb(colour))
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def lab(colour: str, eye: str) -> Any:
    """A colour in CIELAB as an eye sees it."""
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    x, y, z = np.cbrt(to_xyz @ np.clip(SEEN_BY[eye] @ linear(colour), 0, 1) / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eye", SEEN_BY)
def test_lines_of_the_same_style_are_told_apart_by_every_eye(eye: str) -> None:
    """Ten is several times the difference that is just noticed."""
    for style in set(plot.LINES):
        same = [c for c, line in zip(plot.CLASSES, plot.LINES) if line == style]
        for first, second in combinations(same, 2):
            assert np.linalg.norm(lab(first, eye) - lab(second, eye)) > 10
    blue, rust = (lab(plot.COLOURS[name], eye) for name in ("blue", "rust"))
    assert np.linalg.norm(blue - rust) > 40


@pytest.mark.parametrize("colour", plot.COLOURS.items())
def test_colours_stand_out_on_white(colour: tuple[str, str]) -> None:
    name, value = colour
    contrast = 1.05 / (linear(value) @ [0.2126, 0.7152, 0.0722] + 0.05)
    assert contrast >= 4.5 or name == "grid"


def test_names_are_moved_apart_in_order() -> None:
    values = [0.97, 0.971, 0.2, 0.969, 0.5]
    moved: Any = plot.spread(values, 0.05)
    assert np.argsort(moved).tolist() == np.argsort(values).tolist()
    assert np.diff(np.sort(moved)).min() >= 0.05 - 1e-9


# Energy estimates


def lengths(axis: Axes) -> list[float]:
    """The length of every stacked bar by its lane, from the top."""
    lanes: Counter[float] = Counter()
    for bar in axis.patches:
        lanes[round(bar.get_y(), 6)] += bar.get_width()
    return [lanes[y] for y in sorted(lanes)]


def test_a_bar_is_as_long_as_its_estimate(axis: Axes) -> None:
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


def test_shares_are_whole(axis: Axes) -> None:
    estimates.shares(axis, ESTIMATES, "45nm_int8")
    np.testing.assert_allclose(lengths(axis), [1.0] * 9, rtol=1e-12)


def test_a_view_without_an_estimate_has_no_bar(axis: Axes) -> None:
    none = {"pj": None, "parts": {}}
    priced = [e if e["view"] == "operations" else e | none for e in ESTIMATES]
    estimates.parts(axis, priced, "45nm_fp32")
    assert len(lengths(axis)) == 3


def test_every_kind_of_an_estimate_is_drawn() -> None:
    """A kind that no group holds would be left out of its bar."""
    _ = torch.manual_seed(0)
    drawn = {kind for kinds, _, _ in estimates.PARTS.values() for kind in kinds}
    x = (torch.rand(20, 4, 3) < 0.3).float()
    sparse = build("LIF", 3, 40, 2)
    with torch.no_grad():
        sparse.body.weight_hh_l0[:, 1:] = 0.0
    counts = {
        "LIF": count(sparse, x, events=True),
        "LSTM": count(build("LSTM", 3, 8, 2, "mean"), x, events=True),
    }
    text = split(torch.tensor([0, 1, 2, 1] * 40), size=3)
    network = build("LIF", 3, 16, 3, answer="every_step")
    recalling = Recalling(network, remember(network, text))
    counts["memory"] = count_recalling(recalling, text.batch([0]).x)
    around = Surroundings(routing_pj=1.0, static_watts=1.0, seconds=1.0)
    found = {kind for row in summary.estimates(counts, tables()) for kind in row["parts"]}
    assert found | set(energy(counts["LIF"], tables()["45nm_fp32"], surroundings=around).parts) == (
        drawn
    )


def test_parts_are_drawn_whole_or_refused(axis: Axes) -> None:
    row = {"model": "LIF", "table": "45nm_fp32", "view": "operations"}
    parts = {"synapses": 1.0, "routing": 2.0, "static": 3.0, "keys": 4.0}
    estimates.parts(axis, [row | {"parts": parts}], "45nm_fp32")
    # a sum of four floats
    assert lengths(axis) == [pytest.approx(10e-12, rel=1e-12)]
    estimates.shares(axis, [row | {"parts": {"synapses": 0.0}}], "45nm_fp32")
    with pytest.raises(InputError, match="guess are no parts of an energy estimate"):
        estimates.parts(axis, [row | {"parts": {"guess": 1.0}}], "45nm_fp32")


def test_every_ratio_is_a_dot_and_every_lane_an_interval(axis: Axes) -> None:
    estimates.ratios(axis, COMPARISONS)
    ratios = [x["ratio"] for s in COMPARISONS for x in s["lines"] if x["ratio"] is not None]
    dots = [float(line.get_xdata()[0]) for line in axis.lines if line.get_marker() != "None"]
    assert sorted(dots) == sorted(ratios)
    assert axis.get_xscale() == "log"
    low, high = axis.get_xlim()
    assert low <= 0.5 < 2.0 <= high
    assert [t.get_text() for t in axis.texts] == ["RNN ÷ LIF", "LSTM ÷ LIF"]
    keys = [k.get_label() for k in estimates.table_keys(COMPARISONS)]
    assert keys == ["45nm_fp16", "45nm_fp32", "45nm_int32", "45nm_int8"]


def test_comparisons_of_one_name_are_all_drawn(axis: Axes) -> None:
    named = [c | {"spiking": "ours", "twin": "theirs"} for c in COMPARISONS]
    estimates.ratios(axis, named)
    dots = [line for line in axis.lines if line.get_marker() != "None"]
    ratios = [x["ratio"] for c in named for x in c["lines"] if x["ratio"] is not None]
    assert sorted(float(line.get_xdata()[0]) for line in dots) == sorted(ratios)
    assert [t.get_text() for t in axis.texts] == ["theirs ÷ ours"] * 2


@pytest.mark.parametrize("rate", [0.0, 1e-5, 0.2])
def test_the_marker_of_a_network_is_at_its_own_rate(axis: Axes, rate: float) -> None:
    estimates.break_even(axis, COMPARISONS[0] | {"rate": rate}, "operations")
    marked = {float(line.get_xdata()[0]) for line in axis.lines if line.get_marker() != "None"}
    assert marked == {rate or 1e-3}
    assert axis.get_xlim()[0] <= min(marked)


def test_a_break_even_line_passes_through_the_network_and_through_1(axis: Axes) -> None:
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


def test_a_table_never_shares_its_look(axis: Axes) -> None:
    line = COMPARISONS[0]["lines"][0] | {"ratio": 1.0}
    lines = [line | {"table": f"t{k}"} for k in range(6)]
    looks = estimates.table_looks([COMPARISONS[0] | {"lines": lines}])
    assert len(set(looks.values())) == 6
    assert len({marker for _, marker, _ in looks.values()}) == 6


def test_a_figure_is_made_where_no_axis_is_given(axis: Axes) -> None:
    own = plot.raster(SPIKES)
    assert own.figure.number in pyplot.get_fignums()  # which is what a notebook shows
    pyplot.close(own.figure)
    assert plot.raster(SPIKES, axis=axis) is axis
    with pytest.raises(InputError, match="expected spikes first, got an axis; pass it as axis="):
        plot.raster(axis)  # type: ignore[arg-type]


def test_a_name_with_dollars_is_drawn_as_it_is():
    names = ("$50-$100", r"$\frac$")
    axis = plot.confusion([[3, 1], [0, 4]], names)
    text = plot.style.as_svg(axis.figure, "dollars")
    assert all(name in text.replace("&amp;", "&") for name in names)
    dollars = {names[0]: 2, "other": 1}
    for axis in (
        plot.traces(np.ones((5, 2)), names),
        plot.phase(V, A, (names[0], "a")),
        plot.connectivity(WEIGHT, sources=dollars),
        plot.rates_by_layer([MODELS[0] | {"name": names[0]}], axis=pyplot.figure().add_subplot()),
        plot.operations([MODELS[0] | {"name": names[0]}], axis=pyplot.figure().add_subplot()),
    ):
        assert "$50-$100" in plot.style.as_svg(axis.figure, "dollars")
