"""Paired comparison, Holm's correction, verdicts and fitted laws, against scipy and simulation."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from spikern._utils.errors import InputError
from spikern.studies import scaling
from spikern.studies.scaling import evaluate, fit, predict
from spikern.studies.statistics import claims, holm, paired, verdict


def test_paired_is_scipys():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.9, 0.02, 8), rng.normal(0.88, 0.02, 8)
    result = paired(a, b)
    theirs = stats.ttest_rel(a, b)
    # float64 formulas that differ in the order of operations alone
    assert result.p_t == pytest.approx(theirs.pvalue, rel=1e-9)
    bounds = theirs.confidence_interval(0.95)
    assert (result.low, result.high) == pytest.approx((bounds.low, bounds.high), rel=1e-9)
    assert result.p_wilcoxon == stats.wilcoxon(a - b).pvalue


def test_accuracies_that_differ_by_as_many_answers_are_ties():
    """(323 + 2) / 359 - 323 / 359 is not (306 + 2) / 359 - 306 / 359 in floating point."""
    right = np.array([321, 306, 323, 346, 316, 309, 338, 344, 305, 336])
    more = np.array([3, 2, 2, -1, 0, -1, 3, 1, 0, 1])
    expected = stats.wilcoxon(more[more != 0]).pvalue
    assert paired(right + more, right).p_wilcoxon == expected
    assert paired((right + more) / 359, right / 359).p_wilcoxon == expected
    assert paired([0.1 + 0.2] * 6, [0.3] * 6)[3:] == (1.0, None)
    alike = paired([0.1 + 0.2, 0.4], [0.2, 0.3])
    assert (alike.low, alike.high, alike.p_t) == (alike.difference, alike.difference, 1.0)


def test_wilcoxon_only_where_it_can_decide():
    assert paired([1, 2, 3, 4, 5], [0, 0, 0, 0, 0]).p_wilcoxon is None
    # six differences of one sign: 2 of 2^6 orders are as extreme
    assert paired([1, 2, 3, 4, 5, 6], [0] * 6).p_wilcoxon == pytest.approx(2 / 64, rel=1e-12)
    assert paired([1, 2, 3, 4, 5, 6], [1, 0, 0, 0, 0, 0]).p_wilcoxon is None


def test_equal_differences():
    assert paired([0.5, 0.5], [0.5, 0.5]).p_t == 1.0
    assert paired([1.0, 2.0], [0.5, 1.5]) == (0.5, 0.5, 0.5, 1.0, None)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1.0], [1.0], "got 1 and 1"),
        ([1.0, 2.0], [1.0], "got 2 and 1"),
        ([1.0, np.nan], [0, 0], "needs finite values"),
    ],
)
def test_bad_pairs_are_refused(a, b, message):
    with pytest.raises(InputError, match=message):
        paired(a, b)


def test_holm_by_hand():
    # sorted: 0.005 * 4, 0.01 * 3, 0.03 * 2, 0.04 * 1 -> 0.02, 0.03, 0.06, then never below 0.06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02], rel=1e-12)
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    with pytest.raises(InputError, match="p values lie in"):
        holm([1.5])


def test_false_claims_are_rare():
    """Of 400 families of 5 true nulls, about 5 % may have a verdict; uncorrected, some 20 % do."""
    rng = np.random.default_rng(1)
    corrected = uncorrected = 0
    for _ in range(400):
        pairs = {str(k): (rng.normal(size=5), rng.normal(size=5)) for k in range(5)}
        corrected += any(c["verdict"] != "undecided" for c in claims(pairs).values())
        plain = [paired(a, b) for a, b in pairs.values()]
        uncorrected += any(verdict(c.low, c.high) != "undecided" for c in plain)
    # binomial of 400 at 0.05: mean 20, three deviations 13
    assert corrected <= 33
    assert uncorrected > 50


def test_verdicts_are_no_bolder_than_holm():
    rng = np.random.default_rng(2)
    for _ in range(100):
        pairs = {str(k): (rng.normal(0.8 * k, 1, 5), rng.normal(0, 1, 5)) for k in range(4)}
        for claim in claims(pairs).values():
            assert claim["verdict"] == "undecided" or claim["p_holm"] < 0.05


def test_a_claim_and_its_opposite():
    a, b = [0.9, 0.91, 0.92], [0.8, 0.8, 0.83]
    assert claims({"a > b": (a, b)})["a > b"]["verdict"] == "confirmed"
    assert claims({"b > a": (b, a)})["b > a"]["verdict"] == "refuted"
    assert claims({}) == {}
    with pytest.raises(InputError, match="low <= high"):
        verdict(1.0, 0.0)


# Laws of growth

SIZES = [1e3 * 2**k for k in range(8)]
FINE = [1e3 * 2 ** (k / 1.5) for k in range(12)]
POWER = {"a": 30.0, "b": 0.6, "c": 0.05}
BROKEN = {"a": 3.0, "b": 0.2, "c": 0.02, "d": 1.2e4, "f": 0.3, "g": 0.5}


def noised(law, parameters, seeds=5, noise=0.02, sizes=SIZES):
    rng = np.random.default_rng(0)
    true = evaluate(law, parameters, sizes)
    return [(y * np.exp(noise * rng.normal(size=seeds))).tolist() for y in true]


def test_a_fit_needs_a_refit():
    with pytest.raises(InputError, match="refits must be at least 1, got 0"):
        fit(SIZES, noised("power", POWER), refits=0)


def test_a_power_law_without_noise_is_found():
    law = fit(SIZES, noised("power", POWER, noise=0.0), refits=5)
    # the solver stops at relative steps of 1e-10; the letters follow from it to about the root
    assert law.parameters == pytest.approx(POWER, rel=1e-4)
    assert law.error < 1e-6


def test_no_law_says_that_growth_does_harm():
    """The planted fault: an error that rises again, which a bend upwards would follow."""
    rising = [0.1, 0.08, 0.07, 0.06, 0.05, 0.05, 0.05, 0.06, 0.07, 0.08, 0.1, 0.12]
    law = fit(FINE, [[value] * 3 for value in rising], "broken", refits=2)
    assert law.parameters["b"] >= 0
    assert law.parameters["b"] + law.parameters["g"] >= -1e-9  # a sum of rounded numbers


def test_a_broken_law_without_noise_is_found():
    law = fit(FINE, noised("broken", BROKEN, noise=0.0, sizes=FINE), "broken", refits=2)
    # six letters from twelve points: the curve is found tightly, its letters less so
    assert law.error < 1e-4
    assert law.parameters["b"] == pytest.approx(BROKEN["b"], abs=0.05)
    assert law.parameters["b"] + law.parameters["g"] == pytest.approx(0.7, abs=0.1)
    assert law.parameters["d"] == pytest.approx(BROKEN["d"], rel=0.3)


def test_with_noise_the_intervals_hold_the_truth():
    law = fit(SIZES, noised("power", POWER), refits=100)
    # 2 % of noise over 5 seeds leaves 0.9 % a size; b is known to about 0.03 then
    assert law.parameters["b"] == pytest.approx(POWER["b"], abs=0.06)
    low, high = law.intervals["b"]
    assert low < POWER["b"] < high
    assert high - low < 0.3


def test_beyond_the_range_it_is_a_prediction():
    law = fit(SIZES, noised("power", POWER), refits=100)
    inside, outside = predict(law, [SIZES[2], 16 * SIZES[-1]])
    assert (inside.kind, outside.kind) == ("measured range", "prediction")
    true = evaluate("power", POWER, [16 * SIZES[-1]])[0]
    assert outside.low < true < outside.high
    assert (outside.high - outside.low) / outside.y > (inside.high - inside.low) / inside.y
    with pytest.raises(InputError, match="sizes are positive numbers"):
        predict(law, [-1.0])


def test_a_power_law_misses_a_break():
    """The planted fault: broken data, which only the broken law fits."""
    data = noised("broken", BROKEN, noise=0.0, sizes=FINE)
    assert fit(FINE, data, "power", refits=2).error > 10 * fit(FINE, data, "broken", 2).error


@pytest.mark.parametrize(("law", "letters"), [("power", POWER), ("broken", BROKEN)])
def test_the_criterion_prefers_the_law_that_made_the_data(law, letters):
    data = noised(law, letters, sizes=FINE)
    judged = {kind: fit(FINE, data, kind, refits=2) for kind in ("power", "broken")}
    assert min(judged, key=lambda kind: judged[kind].aicc) == law
    # the broken law has the smaller error on both: only its letters speak against it
    assert judged["broken"].error < judged["power"].error


def test_the_criterion_by_hand():
    law = fit(SIZES, noised("power", POWER), refits=2)
    n, k = 8, 4  # three letters, and the variance
    expected = n * np.log(law.error**2) + 2 * k + 2 * k * (k + 1) / (n - k - 1)
    # one formula, in two orders of operations
    assert law.aicc == pytest.approx(expected, rel=1e-12)
    assert fit(SIZES[:5], noised("power", POWER)[:5], refits=2).aicc == np.inf
    assert replace(law, error=0.0).aicc == -np.inf


def test_a_wrong_sign_is_seen(monkeypatch):
    """Planted: an exponent that counts the other way makes the first test fail."""
    right = scaling._log_law
    monkeypatch.setattr(scaling, "_log_law", lambda law, raw, u: right(law, raw, -u))
    law = fit(SIZES, noised("power", POWER, noise=0.0), refits=2)
    assert law.error > 0.1


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
        (SIZES, [[1, 1, 1]] * 8, "broken", "12 different sizes"),
        ([1, 1, 2, 3], [[1, 1, 1]] * 4, "power", "4 different sizes"),
        (SIZES[:4], [[1, 1, 1]] * 3, "power", "seeds of 3"),
        (SIZES[:4], [[1, 1]] * 4, "power", "3 seeds"),
        (SIZES[:4], [[0, 1, 1]] * 4, "power", "above 0 and finite, got 0"),
        (SIZES[:4], [[np.nan, 1, 1]] * 4, "power", "above 0 and finite, got nan"),
        (SIZES[:4], [[1, 1, 1]] * 4, "cubic", "cubic"),
    ],
)
def test_refusals(sizes, data, law, message):
    with pytest.raises(InputError, match=message):
        fit(sizes, data, law)


def test_equal_values_are_undecided_however_they_were_added_up():
    """0.1 + 0.2 is not 0.3."""
    found = claims({"A > B": ([0.1 + 0.2] * 5, [0.3] * 5)})["A > B"]
    assert (found["verdict"], found["p_holm"], found["difference"]) == ("undecided", 1.0, 0.0)
    assert (found["low"], found["high"]) == (0.0, 0.0)


def test_differences_that_do_not_vary_decide_nothing():
    found = claims({"A > B": ([0.90, 0.92], [0.88, 0.90])})["A > B"]
    assert (found["verdict"], found["p_holm"]) == ("undecided", 1.0)
    assert found["low"] == pytest.approx(found["high"]) == pytest.approx(0.02)
