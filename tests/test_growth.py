"""The fits find what synthetic data were made of, and refuse what cannot be fitted."""

import numpy as np
import pytest

from spikern._utils.errors import InputError
from spikern.studies import scaling
from spikern.studies.scaling import evaluate, fit, predict

SIZES = [1e3 * 2**k for k in range(8)]
POWER = {"a": 30.0, "b": 0.6, "c": 0.05}
BROKEN = {"a": 3.0, "b": 0.2, "c": 0.02, "d": 1.2e4, "f": 0.3, "g": 0.5}


def noised(law, parameters, seeds=5, noise=0.02, sizes=SIZES):
    rng = np.random.default_rng(0)
    true = evaluate(law, parameters, sizes)
    return [(y * np.exp(noise * rng.normal(size=seeds))).tolist() for y in true]


def test_a_power_law_without_noise_is_found():
    found = fit(SIZES, noised("power", POWER, noise=0.0), refits=5)
    # the solver stops at relative steps of 1e-10; the letters follow from it to about the root
    assert found.parameters == pytest.approx(POWER, rel=1e-4)
    assert found.error < 1e-6


def test_no_law_says_that_growth_does_harm():
    """The planted fault: an error that rises again, which a bend upwards would follow."""
    rising = [[0.1], [0.07], [0.05], [0.05], [0.06], [0.08], [0.12]]
    found = fit(SIZES[:7], [3 * values for values in rising], "broken", refits=2)
    assert found.parameters["b"] >= 0
    assert found.parameters["b"] + found.parameters["g"] >= -1e-9  # a sum of rounded numbers


def test_a_broken_law_without_noise_is_found():
    found = fit(SIZES, noised("broken", BROKEN, noise=0.0), "broken", refits=2)
    # six letters from eight points: the curve is found tightly, its letters less so
    assert found.error < 1e-4
    assert found.parameters["b"] == pytest.approx(BROKEN["b"], abs=0.05)
    assert found.parameters["b"] + found.parameters["g"] == pytest.approx(0.7, abs=0.1)
    assert found.parameters["d"] == pytest.approx(BROKEN["d"], rel=0.3)


def test_with_noise_the_intervals_hold_the_truth():
    found = fit(SIZES, noised("power", POWER), refits=100)
    # 2 % of noise over 5 seeds leaves 0.9 % a size; b is known to about 0.03 then
    assert found.parameters["b"] == pytest.approx(POWER["b"], abs=0.06)
    low, high = found.intervals["b"]
    assert low < POWER["b"] < high
    assert high - low < 0.3


def test_beyond_the_range_it_is_a_prediction():
    found = fit(SIZES, noised("power", POWER), refits=100)
    inside, outside = predict(found, [SIZES[2], 16 * SIZES[-1]])
    assert (inside.kind, outside.kind) == ("measured range", "prediction")
    true = evaluate("power", POWER, [16 * SIZES[-1]])[0]
    assert outside.low < true < outside.high
    assert (outside.high - outside.low) / outside.y > (inside.high - inside.low) / inside.y
    with pytest.raises(InputError, match="sizes are positive numbers"):
        predict(found, [-1.0])


def test_a_power_law_misses_a_break():
    """The planted fault: broken data, which only the broken law fits."""
    data = noised("broken", BROKEN, noise=0.0)
    assert fit(SIZES, data, "power", refits=2).error > 10 * fit(SIZES, data, "broken", 2).error


def test_a_wrong_sign_is_seen(monkeypatch):
    """Planted: an exponent that counts the other way makes the first test fail."""
    right = scaling._log_law
    monkeypatch.setattr(scaling, "_log_law", lambda law, raw, u: right(law, raw, -u))
    found = fit(SIZES, noised("power", POWER, noise=0.0), refits=2)
    assert found.error > 0.1


def test_equal_in_any_unit():
    """Sizes in thousands give the same curve."""
    data = noised("power", POWER)
    one, other = fit(SIZES, data, refits=5), fit([x / 1e3 for x in SIZES], data, refits=5)
    # least squares sees the same numbers but for rounding of the logarithms
    assert other.parameters["b"] == pytest.approx(one.parameters["b"], rel=1e-5)
    assert predict(other, [100.0])[0].y == pytest.approx(predict(one, [1e5])[0].y, rel=1e-5)


@pytest.mark.parametrize(
    ("sizes", "data", "law", "message"),
    [
        (SIZES[:3], [[1, 1, 1]] * 3, "power", "4 different sizes"),
        (SIZES[:6], [[1, 1, 1]] * 6, "broken", "7 different sizes"),
        ([1, 1, 2, 3], [[1, 1, 1]] * 4, "power", "4 different sizes"),
        (SIZES[:4], [[1, 1, 1]] * 3, "power", "seeds of 3"),
        (SIZES[:4], [[1, 1]] * 4, "power", "3 seeds"),
        (SIZES[:4], [[0, 1, 1]] * 4, "power", "positive"),
        (SIZES[:4], [[np.nan, 1, 1]] * 4, "power", "positive"),
        (SIZES[:4], [[1, 1, 1]] * 4, "cubic", "cubic"),
    ],
)
def test_refusals(sizes, data, law, message):
    with pytest.raises(InputError, match=message):
        fit(sizes, data, law)
