"""Encoders: each against its equation, one number at a time, and its limits."""

import math

import pytest
import torch

from spikern._utils.errors import InputError
from spikern.events.encoders import delta, integrate, latency, on_off, population, rate


def test_latency_fires_once_and_the_larger_value_first():
    x = torch.tensor([[1.0, 0.75, 0.5, 0.25, 1e-6, 0.0]])
    spikes = latency(x, steps=5)
    assert spikes.shape == (5, 1, 6)
    assert spikes.sum(0).tolist() == [[1, 1, 1, 1, 1, 0]]
    assert spikes[:, 0, :5].argmax(0).tolist() == [0, 1, 2, 3, 4]
    assert latency(torch.tensor([[0.3, 0.0]]), steps=1).tolist() == [[[1.0, 0.0]]]


def test_rate_is_as_probable_as_it_says_and_follows_the_generator():
    x = torch.tensor([0.0, 0.1, 0.5, 1.0]).expand(4000, 1, 4)
    spikes = rate(x, torch.Generator().manual_seed(3))
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    means = spikes.mean((0, 1))
    assert (means[0], means[3]) == (0, 1)
    for n, p in ((1, 0.1), (2, 0.5)):  # five standard deviations of a binomial mean
        assert abs(means[n] - p) < 5 * math.sqrt(p * (1 - p) / 4000)
    assert torch.equal(spikes, rate(x, torch.Generator().manual_seed(3)))
    assert not torch.equal(spikes, rate(x, torch.Generator().manual_seed(4)))


def test_integrate_counts_what_its_input_sums_to():
    x = torch.randint(0, 33, (200, 3, 2)) / 32  # sums of 1/32 are exact
    spikes = integrate(x)
    assert torch.equal(spikes.cumsum(0), x.cumsum(0).floor())
    assert set(spikes.unique().tolist()) == {0.0, 1.0}


def test_integrate_is_not_short_of_a_spike_by_rounding():
    for parts in range(1, 50):
        x = torch.full((3 * parts, 1, 1), 1 / parts, dtype=torch.float64)
        assert integrate(x).sum() == 3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_delta_counts_levels_in_any_precision(dtype):
    """300 levels, which bfloat16 cannot hold exactly beyond 256."""
    x = torch.full((4000, 1, 1), 3000.0)
    assert delta(x.to(dtype), 1.0).double().sum() == float(x[0].to(dtype))


def test_on_off_loses_nothing():
    events = delta(torch.randn(30, 2, 3), 0.3)
    two = on_off(events)
    assert two.shape == (30, 2, 6)
    assert torch.equal(two[:, :, :3] - two[:, :, 3:], events)
    assert set(two.unique().tolist()) == {0.0, 1.0}
    assert not (two[:, :, :3] * two[:, :, 3:]).any()


def test_population_is_its_equation():
    x = torch.tensor([[[-0.5, 2.0]], [[0.25, 1.0]]], dtype=torch.float64)
    values = population(x, neurons=6, low=-1.0, high=3.0, beta=1.5)
    assert values.shape == (2, 1, 12)
    for t in range(2):
        for f in range(2):
            for j in range(1, 7):
                centre = -1.0 + (2 * j - 3) / 2 * (4.0 / 4)
                expected = math.exp(-((float(x[t, 0, f]) - centre) ** 2) / (2 * (1.0 / 1.5) ** 2))
                # exp in torch and in math may differ in the last digit
                assert float(values[t, 0, f * 6 + j - 1]) == pytest.approx(expected, rel=1e-14)


def test_population_becomes_spikes_by_latency():
    spikes = latency(population(torch.tensor([[0.5]]), neurons=5), steps=10)
    first = spikes[:, 0].argmax(0)
    assert first.tolist() == [9, 6, 0, 6, 9]  # the nearer the centre, the sooner


G = torch.Generator()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: latency(torch.zeros(2), 3), r"expected floating x \(B, F\), got \(2,\)"),
        (lambda: latency(torch.tensor([[1.5]]), 3), r"x must lie in 0\.\.1, got 1\.5\.\.1\.5"),
        (lambda: latency(torch.zeros(1, 1), 0), "steps must be at least 1, got 0"),
        (lambda: latency(torch.tensor([[math.nan]]), 3), "NaN"),
        (lambda: rate(torch.zeros(2, 3), G), r"expected floating x \(T, B, F\), got \(2, 3\)"),
        (lambda: rate(torch.full((1, 1, 1), -0.1), G), r"x must lie in 0\.\.1, got -0\.1"),
        (lambda: integrate(torch.full((1, 1, 1), 2.0)), r"x must lie in 0\.\.1"),
        (lambda: integrate(torch.ones(1, 1, 1, dtype=torch.int64)), "torch.int64"),
        (lambda: on_off(torch.full((1, 1, 1), 0.5)), "expected events in -1, 0, 1"),
        (lambda: population(torch.zeros(1, 1), 2), "neurons must be at least 3, got 2"),
        (lambda: population(torch.zeros(1, 1), 3, 1.0, 1.0), "low must be below high"),
        (lambda: population(torch.zeros(1, 1), 3, beta=0.0), "beta must be above 0"),
        (lambda: population(torch.tensor(0.5), 3), "expected floating x"),
    ],
)
def test_what_cannot_be_encoded_is_an_error(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_half_precision_has_one_spike_a_value_too():
    x = torch.tensor([[0.0005, 0.2, 1.0, 0.0]])
    for kind in (torch.float16, torch.bfloat16, torch.float32):
        spikes = latency(x.to(kind), 5000)
        assert spikes.dtype == kind
        assert spikes.sum(0).tolist() == [[1.0, 1.0, 1.0, 0.0]]
