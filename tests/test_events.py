"""Events: the encoder against its equation, sample by sample, and its limits."""

from dataclasses import replace

import pytest
import torch

from spikern import InputError
from spikern.data import Dataset, Split, load
from spikern.events import delta, encoded


def by_hand(signal, threshold):
    """The equation in plain Python, one number at a time."""
    reference, events = 0.0, []
    for value in signal:
        event = 0
        if abs(value - reference) >= threshold:
            event = 1 if value > reference else -1
        reference += threshold * event
        events.append(event)
    return events


def test_delta_is_its_equation():
    torch.manual_seed(0)
    x = torch.randint(-64, 64, (50, 3, 2)) / 32  # sums of 1/32 are exact
    events = delta(x, 0.25)
    for b in range(3):
        for f in range(2):
            assert events[:, b, f].tolist() == by_hand(x[:, b, f].tolist(), 0.25)
    assert set(events.unique().tolist()) == {-1.0, 0.0, 1.0}


def test_a_move_of_exactly_the_threshold_is_sent():
    x = torch.tensor([0.25, 0.0, 0.25 - 1 / 1024, -0.25]).view(-1, 1, 1)
    assert delta(x, 0.25).flatten().tolist() == [1, -1, 0, -1]


def test_a_jump_is_caught_up_with_one_event_a_step():
    x = torch.ones(6, 1, 1)
    assert delta(x, 0.25).flatten().tolist() == [1, 1, 1, 1, 0, 0]


def test_a_slow_signal_is_followed_within_the_threshold():
    t = torch.arange(400).view(-1, 1, 1)
    x = torch.sin(2 * torch.pi * t / 200)
    threshold = 0.05  # the steepest step is 0.031
    error = x - threshold * delta(x, threshold).cumsum(0)
    assert error.abs().max() < threshold


def test_a_constant_zero_is_silent_and_the_sign_is_symmetric():
    assert not delta(torch.zeros(10, 2, 3), 0.1).any()
    torch.manual_seed(0)
    x = torch.randn(30, 2, 3)
    assert torch.equal(delta(-x, 0.3), -delta(x, 0.3))


def test_the_future_never_changes_the_past():
    torch.manual_seed(0)
    x = torch.randn(30, 2, 3)
    assert torch.equal(delta(x[:12], 0.3), delta(x, 0.3)[:12])
    assert torch.equal(delta(x[:, :1], 0.3), delta(x, 0.3)[:, :1])


def test_delta_keeps_shape_and_dtype():
    events = delta(torch.randn(4, 2, 3, dtype=torch.float64), 0.1)
    assert (events.shape, events.dtype) == ((4, 2, 3), torch.float64)


@pytest.mark.parametrize(
    ("x", "threshold", "message"),
    [
        (torch.zeros(4, 2), 0.1, r"expected floating x \(T, B, F\), got \(4, 2\)"),
        (torch.zeros(4, 2, 3).long(), 0.1, "torch.int64"),
        (torch.zeros(4, 2, 3), 0.0, "threshold must be above 0 and finite, got 0.0"),
        (torch.zeros(4, 2, 3), -1.0, "got -1.0"),
        (torch.zeros(4, 2, 3), float("nan"), "got nan"),
        (torch.zeros(4, 2, 3), float("inf"), "got inf"),
        (torch.full((4, 2, 3), torch.nan), 0.1, "NaN"),
    ],
)
def test_delta_refuses_what_it_cannot_encode(x, threshold, message):
    with pytest.raises(InputError, match=message):
        delta(x, threshold)


def test_an_encoded_dataset_is_silent_after_the_last_step():
    x = torch.ones(5, 2, 1)
    x[2:, 1] = 0
    part = Split(x, torch.tensor([0, 1]), torch.tensor([5, 2]))
    toy = Dataset(
        "toy", "Toy", part, part, part, ("a", "b"), False, False, "made here", "none", 1.0
    )
    events = encoded(toy, 0.25).test.x
    assert events[:, 0, 0].tolist() == [1, 1, 1, 1, 0]
    assert events[:, 1, 0].tolist() == [1, 1, 0, 0, 0]  # not -1 at the drop into the padding


def test_encoded_digits():
    digits = load("digits")
    events = encoded(digits, 0.25)
    assert events.events
    assert events.name == "digits-delta0.25"
    assert torch.equal(events.test.x, delta(digits.test.x, 0.25))
    assert torch.equal(events.train.y, digits.train.y)
    assert not digits.events


def test_events_are_not_encoded_again():
    digits = load("digits")
    with pytest.raises(InputError, match="holds events already"):
        encoded(encoded(digits, 0.25), 0.25)
    with pytest.raises(InputError, match="declared as events"):
        replace(digits, events=True)
