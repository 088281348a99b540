"""Paired comparison, Holm's correction and verdicts, against scipy and by simulation."""

import numpy as np
import pytest
from scipy import stats

from spikern._utils.errors import InputError
from spikern.studies.statistics import claims, holm, interval, paired, verdict


def test_paired_is_scipys():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.9, 0.02, 8), rng.normal(0.88, 0.02, 8)
    found = paired(a, b)
    theirs = stats.ttest_rel(a, b)
    # float64 formulas that differ in the order of operations alone
    assert found.p_t == pytest.approx(theirs.pvalue, rel=1e-9)
    bounds = theirs.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((bounds.low, bounds.high), rel=1e-9)
    assert found.p_wilcoxon == stats.wilcoxon(a - b).pvalue


def test_pairing_matters():
    """The same values in another order are another comparison."""
    a, b = [0.1, 0.5, 0.9], [0.0, 0.4, 0.81]
    assert paired(a, b).p_t < 0.01
    assert paired(a, b[::-1]).p_t > 0.5


def test_wilcoxon_only_where_it_can_speak():
    assert paired([1, 2, 3, 4, 5], [0, 0, 0, 0, 0]).p_wilcoxon is None
    # six differences of one sign: 2 of 2^6 orders are as extreme
    assert paired([1, 2, 3, 4, 5, 6], [0] * 6).p_wilcoxon == pytest.approx(2 / 64, rel=1e-12)
    assert paired([1, 2, 3, 4, 5, 6], [1, 0, 0, 0, 0, 0]).p_wilcoxon is None


def test_equal_differences():
    assert paired([0.5, 0.5], [0.5, 0.5]).p_t == 1.0
    assert paired([1.0, 2.0], [0.5, 1.5]) == (0.5, 0.5, 0.5, 0.0, None)


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
        found = claims(pairs)
        corrected += any(c["verdict"] != "undecided" for c in found.values())
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


def test_wider_with_confidence():
    low, high = interval([1.0, 2.0, 3.0])
    lower, higher = interval([1.0, 2.0, 3.0], 0.99)
    assert lower < low < high < higher
