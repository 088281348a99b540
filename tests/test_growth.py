"""The law of growth with parameters and data: known laws are found again, and what follows."""

import math

import numpy as np
import pytest
from scipy.optimize import check_grad

from spikern import InputError
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
    size = equivalent_size(found, predict(KNOWN, 3e4, 1e6, 10).value, 1e6, 10)
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
    assert equivalent_size(KNOWN, floor, 1e5, 3).value == math.inf
    assert equivalent_size(KNOWN, 1.01 * floor, 1e5, 3).value < math.inf
    assert equivalent_size(KNOWN, predict(KNOWN, 5e3, 1e5, 3).value, 1e5, 3).value == (
        pytest.approx(5e3, rel=1e-9)  # an inversion in float64
    )


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
    ],
)
def test_refusals(given, message):
    with pytest.raises(InputError, match=message):
        fit(given, refits=0)
