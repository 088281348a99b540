"""The law of growth with parameters and data: known laws are found again, and what follows."""

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import check_grad

from spikern import InputError
from spikern._utils.errors import DivergedError
from spikern.studies import growth
from spikern.studies.growth import (
    LETTERS,
    Cell,
    Surface,
    compute_exponent,
    equivalent_size,
    fit,
    loss,
    predict,
)

TRUTH = dict(zip(LETTERS, (1.5, 30.0, 0.5, 400.0, 0.6, 8.0)))
KNOWN = Surface(TRUTH, 0.0, np.zeros((0, len(LETTERS))))


def cells(noise, seeds=3):
    """Seven sizes by five amounts of data, each run with epochs of its own."""
    rng = np.random.default_rng(1)
    made = []
    for n in 1e3 * 2.0 ** np.arange(7):
        for samples in 6e4 * 2.0 ** np.arange(5):
            epochs = rng.integers(4, 40, seeds).astype(float).tolist()
            losses = [predict(KNOWN, n, samples, k).value for k in epochs]
            made.append(Cell(n, samples, epochs, (losses * np.exp(noise * rng.normal(size=seeds)))))
    return made


def test_a_law_without_noise_is_found():
    found = fit(cells(0.0), refits=0)
    # the solver stops where steps of 1e-12 of the objective bring nothing
    assert found.parameters == pytest.approx(TRUTH, rel=1e-4)
    assert found.error < 1e-6
    # without refits there is a value and no interval
    assert len(set(predict(found, 5e4, 1e6, 3))) == 1


def test_with_noise_the_intervals_hold_the_truth():
    found = fit(cells(0.01), refits=40)
    assert 0.007 < found.error < 0.013  # the noise that was put in
    low, high = np.percentile(found.resampled, (0, 100), axis=0)
    assert (low < list(TRUTH.values())).all()
    assert (list(TRUTH.values()) < high).all()
    exponent = compute_exponent(found)
    assert exponent.low < 0.6 / 1.1 < exponent.high
    size = equivalent_size(found, [predict(KNOWN, 3e4, 1e6, 10).value], 1e6, 10)
    assert size.low < 3e4 < size.high < 1.3 * size.low


def test_repeated_data_count_less():
    once, twice, often = (predict(KNOWN, 1e4, 1e5, k).value for k in (1, 2, 1e6))
    assert once > twice > often
    assert twice > predict(KNOWN, 1e4, 2e5).value
    # never more than r times
    assert often == pytest.approx(predict(KNOWN, 1e4, 1e5 * (1 + TRUTH["r"])).value, rel=1e-12)


def test_the_gradient_is_that_of_the_law():
    points = growth._points(cells(0.01), (8e3, 2.4e5))
    raw = np.array([0.3, -1.0, 0.4, -1.2, 0.7, 1.5])
    weights = np.random.default_rng(2).normal(size=len(points[0]))
    wrong = check_grad(
        lambda x: float(growth._log_loss(x, points)[0] @ weights),
        lambda x: growth._log_loss(x, points)[1] @ weights,
        raw,
    )
    assert wrong < 1e-4  # differences over steps of 1e-8 of numbers near 10


def test_data_that_count_for_nothing_are_seen(monkeypatch):
    """Planted: a law in which more data do harm makes the first test fail."""
    right = growth._log_loss

    def wrong(raw, points):
        n, d, again, y = points
        return right(raw, (n, -d, again, y))

    monkeypatch.setattr(growth, "_log_loss", wrong)
    assert fit(cells(0.0), refits=0).error > 0.01


def test_the_size_that_a_compute_wants():
    """At equal N D the least loss, found by search, grows as the exponent says."""
    shares = np.linspace(1, 8, 7001)  # log10 N

    def best(compute):
        losses = [predict(KNOWN, 10**n, compute / 10**n).value for n in shares]
        return shares[np.argmin(losses)]

    slope = (best(1e12) - best(1e9)) / 3
    assert compute_exponent(KNOWN).value == pytest.approx(slope, abs=1e-3)  # the grid


def test_what_no_size_reaches_is_infinite():
    floor = loss(list(TRUTH.values()), math.inf, 1e5, 3)
    assert equivalent_size(KNOWN, [floor], 1e5, 3).value == math.inf
    assert equivalent_size(KNOWN, [1.01 * floor], 1e5, 3).value < math.inf
    assert equivalent_size(KNOWN, [predict(KNOWN, 5e3, 1e5, 3).value], 1e5, 3).value == (
        pytest.approx(5e3, rel=1e-9)  # an inversion in float64
    )


def test_the_interval_of_a_worth_holds_the_noise_of_both_networks():
    certain = Surface(KNOWN.parameters, 0.0, np.tile(list(TRUTH.values()), (200, 1)))
    reached = predict(KNOWN, 5e3, 1e5, 3).value
    exact, noisy = (
        equivalent_size(certain, [reached * (1 + k * spread) for k in (-1, 0, 1)], 1e5, 3)
        for spread in (0.0, 0.02)
    )
    assert exact.low == exact.high == exact.value
    assert noisy.low < 0.9 * exact.value < exact.value < 1.1 * noisy.value < noisy.high


def test_a_refit_can_find_a_floor_that_the_fit_does_not_have():
    """One run in three of each cell falls on a floor: without those runs there is none."""
    without = Surface({**TRUTH, "E": 1e-12}, 0.0, np.zeros((0, 6)))
    made = [
        cell._replace(losses=[y, y, y + TRUTH["E"]])
        for cell in cells(0.0)
        for y in [predict(without, cell.parameters, cell.samples, 5).value]
    ]
    made = [cell._replace(epochs=[5.0] * 3) for cell in made]
    found = fit(made, refits=20)
    assert found.parameters["E"] < 0.01 * TRUTH["E"]
    assert found.resampled[:, 0].max() > 0.05 * TRUTH["E"]


def few(**changes):
    return [cell._replace(**changes) for cell in cells(0.0)[:3]] + cells(0.0)[3:]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (cells(0.0)[:10], "three sizes and three amounts of data or more, got 2 and 5"),
        (few(losses=[1.0]), "every run has an epoch and a loss; the cell of 1000 .* has 3 and 1"),
        (few(losses=[1.0, 0.0, 1.0]), "positive and finite"),
        (few(losses=[1.0, math.nan, 1.0]), "positive and finite"),
        (few(epochs=[1.0, 0.5, 1.0]), "epochs at least 1"),
        (few(epochs=[1.0, math.nan, 1.0]), "epochs at least 1 and finite"),
        (few(epochs=[1.0, math.inf, 1.0]), "epochs at least 1 and finite"),
    ],
)
def test_refusals(given, message):
    with pytest.raises(InputError, match=message):
        fit(given, refits=0)


@pytest.mark.parametrize("size", [(0.0, 1e4, 1), (1e4, math.nan, 1), (1e4, 1e4, 0)])
def test_what_no_training_has_is_not_predicted(size):
    with pytest.raises(InputError, match="positive and finite, epochs at least 1"):
        predict(KNOWN, *size)
    for reached, message in (([], "of one run or more"), ([math.nan], "positive and finite")):
        with pytest.raises(InputError, match=message):
            equivalent_size(KNOWN, reached, 2.0, 1.0)


@pytest.fixture
def script(monkeypatch):
    """What the files of the study, experiments/growth, define, by the name of a file."""
    folder = Path(__file__).parents[1] / "experiments" / "growth"
    monkeypatch.syspath_prepend(str(folder))
    return lambda name: runpy.run_path(str(folder / f"{name}.py"))


def run(share, rate, seed, **found):
    return {"share": share, "rate": rate, "seed": seed, **found}


def test_each_amount_of_data_counts_the_rate_that_is_better_on_validation(script):
    """On half of the data the larger rate has the best seed, but not the best mean."""
    rows = [
        *(run(0.5, 0.1, seed, validation=bits) for seed, bits in enumerate((0.1, 0.9))),
        *(run(0.5, 0.01, seed, validation=bits) for seed, bits in enumerate((0.4, 0.3))),
        *(run(1.0, 0.1, seed, validation=bits) for seed, bits in enumerate((0.2, 0.2))),
        run(1.0, 0.01, 0, validation=0.1),
        run(1.0, 0.01, 1, diverged="loss is nan"),
    ]
    decided = script("run")["decided"]
    found = [(row["share"], row["rate"], row["seed"]) for row in decided(rows) if row["counts"]]
    assert found == [(0.5, 0.01, 0), (0.5, 0.01, 1), (1.0, 0.1, 0), (1.0, 0.1, 1)]
    with pytest.raises(DivergedError, match=r"on 1 of the data diverge at \[0.01\]"):
        decided(rows[-2:])


def test_how_large_a_network_is_as_good_as_another(script):
    cells = script("cells")
    between, within = cells["between"], cells["within"]
    sizes, losses = [1e3, 1e4, 1e5], [1.0, 0.01, 0.1]
    assert between(sizes, losses, 0.1) == pytest.approx(10**3.5)  # halfway, both logarithmic
    assert between(sizes, losses, 0.01) == 1e4
    assert between(sizes, [1.0, 1.0, 0.1], 1.0) == 1e3
    assert (between(sizes, losses, 2.0), between(sizes, losses, 0.001)) == (0.0, math.inf)
    shown = [within(n, sizes) for n in (0.0, 1e3, 1234.4, 1e5, 2e5, math.inf)]
    assert shown == ["below 1,000", "1,000", "1,234", "100,000", "above 100,000", "above 100,000"]
