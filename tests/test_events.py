"""Events: the encoder against its equation, sample by sample, and its limits."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from data_files import toy

from spikern._utils.errors import InputError
from spikern.data import load
from spikern.data.dataset import Split, encoded
from spikern.events.encoders import delta
from spikern.events.trains import MILLISECONDS, Events


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
    """Value by value, so that neither later steps, other samples nor the sign matter."""
    x = torch.randint(-64, 64, (50, 3, 2)) / 32  # sums of 1/32 are exact
    for part in (x, -x, x[:12], x[:, :1], 0 * x, x.double()):
        events = delta(part, 0.25)
        assert (events.shape, events.dtype) == (part.shape, part.dtype)
        for b in range(part.shape[1]):
            for f in range(2):
                assert events[:, b, f].tolist() == by_hand(part[:, b, f].tolist(), 0.25)
    assert set(delta(x, 0.25).unique().tolist()) == {-1.0, 0.0, 1.0}


@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        ([0.25, 0.0, 0.25 - 1 / 1024, -0.25], [1, -1, 0, -1]),
        ([1.0] * 6, [1, 1, 1, 1, 0, 0]),
    ],
    ids=["a move of exactly the threshold", "a jump takes one event per step"],
)
def test_delta_of_a_signal(signal, expected):
    assert delta(torch.tensor(signal).view(-1, 1, 1), 0.25).flatten().tolist() == expected


def test_a_slow_signal_is_followed_within_the_threshold():
    t = torch.arange(400).view(-1, 1, 1)
    x = torch.sin(2 * torch.pi * t / 200)
    threshold = 0.05  # the steepest step is 0.031
    error = x - threshold * delta(x, threshold).cumsum(0)
    assert error.abs().max() < threshold


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
    events = encoded(toy(part), 0.25).test.x
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


# Index lists


def random_events(shape, seed=0, rate=0.2):
    """Signed events, with a step, a sample and a feature that are silent."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(-1, 2, shape, generator=generator).float()
    x = x * (torch.rand(shape, generator=generator) < rate)
    x[1], x[:, 1], x[:, :, 2] = 0, 0, 0
    return x


def test_dense_and_back():
    x = random_events((9, 4, 7))
    events = Events.from_dense(x)
    assert events.shape == tuple(x.shape)
    assert len(events) == len(x)
    assert torch.equal(events.to_dense(), x)
    assert events.rate == x.count_nonzero() / x.numel()
    for row in range(36):
        fired = events.indices[events.offsets[row] : events.offsets[row + 1]]
        assert fired.tolist() == x[row // 4, row % 4].nonzero().flatten().tolist()


def test_silence_is_allowed():
    events = Events.from_dense(torch.zeros(3, 2, 4))
    assert events.rate == 0
    assert events.lengths.tolist() == [1, 1]
    assert not events.binned(2).to_dense().any()
    assert not events.select([1]).until(2).to_dense().any()


def test_select_and_until_are_indexing():
    x = random_events((9, 4, 7))
    events = Events.from_dense(x)
    for samples in ([2], [3, 0], [1, 1, 2], [1]):
        assert torch.equal(events.select(samples).to_dense(), x[:, samples])
    for steps in (1, 2, 9):
        assert torch.equal(events.until(steps).to_dense(), x[:steps])


@pytest.mark.parametrize("k", [1, 2, 4, 9, 20])
def test_binned_adds_up(k):
    x = random_events((9, 4, 7), rate=0.8)
    binned = Events.from_dense(x).binned(k)
    expected = torch.stack([part.sum(0) for part in x.split(k)])
    assert torch.equal(binned.to_dense(), expected)
    assert k == 1 or (expected.abs() > 1).any()
    assert torch.equal(binned.signs().to_dense(), expected.sign())


def test_lengths_end_with_the_last_event():
    x = torch.zeros(5, 3, 2)
    x[3, 0, 1] = x[0, 0, 0] = x[4, 2, 0] = 1
    assert Events.from_dense(x).lengths.tolist() == [4, 1, 5]


def test_addresses_in_any_order_and_unit():
    x = random_events((9, 4, 7)).abs()
    x[8, 3, 6] = 2
    generator = torch.Generator().manual_seed(1)
    times, features = [], []
    for n in range(4):
        t, f = x[:, n].nonzero(as_tuple=True)
        t, f = t.repeat_interleave(x[t, n, f].long()), f.repeat_interleave(x[t, n, f].long())
        order = torch.randperm(len(t), generator=generator)
        times.append((4.0 * t + 3.5)[order])  # steps of 4 ms
        features.append(f[order].numpy().astype("uint16"))
    for unit, in_unit in (("ms", 1.0), ("us", 1e3), ("ns", 1e6), ("s", 1e-3)):
        listed = Events.from_addresses([t * in_unit for t in times], features, 7, 4.0, unit)
        assert torch.equal(listed.to_dense(), x)
    longer = Events.from_addresses(times, features, 7, 4.0, steps=12)
    assert torch.equal(longer.until(9).to_dense(), x)


def test_signed_addresses_may_cancel():
    events = Events.from_addresses(
        [[0, 0.5, 1], []], [[1, 1, 0], []], 2, 1.0, values=[[1, -1, -1], []]
    )
    assert events.shape == (2, 2, 2)
    assert events.to_dense()[:, 0].tolist() == [[0, 0], [-1, 0]]


def test_structured_arrays():
    kind = [("x", np.int16), ("y", np.int16), ("p", bool), ("t", np.int64)]
    array = np.array([(2, 1, True, 2500), (0, 0, False, 0), (2, 1, True, 2900)], dtype=kind)
    events = Events.from_structured([array, array[:2]], (3, 2, 2), dt=1.0)
    assert events.shape == (3, 2, 12)
    x = events.to_dense()
    assert (x[2, 0, (1 * 2 + 1) * 3 + 2], x[0, 0, 0], x[2, 1, 11]) == (2, 1, 1)
    assert x.sum() == 5
    merged = Events.from_structured([array], (3, 2, 1), dt=1.0)
    assert merged.shape == (3, 1, 6)


@pytest.mark.parametrize("kind", [np.int64, np.uint32, np.float64])
def test_the_last_moment_of_a_step_is_in_it(kind):
    times = np.array([0, 999, 1000, 1998, 1999, 2000], kind)
    events = Events.from_addresses([times], [[0] * 6], 1, 1.0, "us")
    assert events.to_dense().flatten().tolist() == [2, 3, 1]
    whole = Events.from_addresses([times[:5]], [[0] * 5], 1, 1.0, "us", steps=2)
    assert whole.to_dense().flatten().tolist() == [2, 3]
    nanoseconds = [np.array([999_999, 1_000_000])]
    assert Events.from_addresses(nanoseconds, [[0, 0]], 1, 1.0, "ns").rows.tolist() == [0, 1]
    almost = np.nextafter(np.array([2.0], np.float32), np.float32(0))
    assert Events.from_addresses([almost], [[0]], 1, 1.0, steps=2).rows.tolist() == [1]
    assert Events.from_addresses([almost], [[0]], 1, 1.0).rows.tolist() == [2]  # as 2 ms


GOOD = {
    **{"steps": 2, "batch": 1, "features": 3},
    "offsets": torch.tensor([0, 2, 3]),
    "indices": torch.tensor([0, 2, 0], dtype=torch.int32),
    "values": torch.ones(3),
}


def test_events_that_are_right_are_taken():
    assert Events(**GOOD).to_dense().tolist() == [[[1, 0, 1]], [[1, 0, 0]]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "at least one step, sample and feature"),
        ({"steps": 3}, r"expected offsets as \(4,\) torch.int64, got \(3,\)"),
        ({"offsets": torch.tensor([0, 2, 3]).int()}, r"got \(3,\) torch.int32"),
        ({"offsets": torch.tensor([0, 2, 2])}, "from 0 to the 3 events, got 0 to 2"),
        ({"offsets": torch.tensor([1, 2, 3])}, "got 1 to 3"),
        ({"offsets": torch.tensor([0, 4, 3])}, "must not fall"),
        ({"indices": torch.tensor([0, 2, 0])}, "expected indices as .* torch.int32"),
        ({"indices": torch.tensor([0, 3, 0]).int()}, r"must lie in 0\.\.2, got 0\.\.3"),
        ({"indices": torch.tensor([-1, 2, 0]).int()}, r"got -1\.\.2"),
        ({"indices": torch.tensor([2, 0, 0]).int()}, "must ascend.*event 1 has 0 after 2"),
        ({"indices": torch.tensor([2, 2, 0]).int()}, "must ascend.*event 1 has 2 after 2"),
        ({"values": torch.ones(2)}, r"expected values as \(3,\)"),
        ({"values": torch.ones(3).double()}, "torch.float64"),
        ({"values": torch.tensor([1.0, torch.nan, 1.0])}, "finite and not 0"),
        ({"values": torch.tensor([1.0, 0.0, 1.0])}, "an event of 0 is none"),
    ],
)
def test_wrong_events_say_what_came(changes, message):
    with pytest.raises(InputError, match=message):
        Events(**GOOD | changes)


ADDRESSES = {"times": [[0.5]], "features": [[0]], "size": 2, "dt": 1.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"times": []}, "expected as many lists of times"),
        ({"times": [[0.5], [1.0]]}, "got 2, 1 and none"),
        ({"times": [[0.5, 1.0]]}, "recording 0: expected lists of one length, got 2 times, 1"),
        ({"times": [[float("nan")]]}, "times of recording 0: NaN"),
        ({"times": [[-0.5]]}, r"times of recording 0, in steps of 1 ms, must lie in 0\.\..*-1"),
        ({"steps": 3, "times": [[3.0]]}, r"must lie in 0\.\.2, got 3\.\.3"),
        ({"times": [["a"]]}, "expected a list of numbers"),
        ({"times": [0.5]}, "expected one dimension"),
        ({"features": [[2]]}, r"features of recording 0 must lie in 0\.\.1, got 2\.\.2"),
        ({"features": [[0.5]]}, "expected whole numbers"),
        ({"dt": 0.0}, "dt must be above 0"),
        ({"size": 2**31}, r"size must lie in 1\.\.2\^31 - 1, got 2147483648"),
        ({"times": [[1e300]]}, "times from the start of each recording"),
        ({"times": [[1.7e18]], "size": 700, "dt": 1e-6, "unit": "ns"}, "from the start of each"),
        ({"times": [[1e308]], "dt": 1e-300}, "from the start of each"),
        ({"steps": 10**13}, "exceed 134217728 rows"),
        ({"unit": "min"}, "no unit of time 'min'; there are: s, ms, us, ns"),
    ],
)
def test_wrong_addresses_say_what_came(changes, message):
    with pytest.raises(InputError, match=message):
        Events.from_addresses(**ADDRESSES | changes)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: e.select([3]), r"must lie in 0\.\.0, got 3\.\.3"),
        (lambda e: e.select([]), "at least one index"),
        (lambda e: e.until(3), r"steps must lie in 1\.\.2, got 3"),
        (lambda e: e.binned(0), "k must be at least 1, got 0"),
        (lambda e: e.binned(1.5), "k must be a whole number, got 1.5"),
        (lambda e: e.until(2.0), "steps must be a whole number, got 2.0"),
        (lambda e: Events.from_addresses([[]], [[]], 2.0, 1.0), "size must be a whole number"),
        (lambda e: Events.from_addresses([[]], [[]], 2, 1.0, steps=-1), "steps must be at least 1"),
        (lambda e: Events.from_addresses([[]], [[]], 2, 1.0, steps=2.5), "steps must be a whole"),
        (lambda e: Events.from_dense(torch.zeros(2, 3)), "expected non-empty x"),
        (lambda e: Events.from_dense(np.zeros((2, 3, 1))), "x must be Tensor, got ndarray"),
        (lambda e: Events.from_dense(torch.full((1, 1, 1), torch.nan)), "finite"),
        (lambda e: Events.from_structured([[1, 2]], (1, 1, 1), 1.0), "expected the fields t, x"),
        (lambda e: Events.from_structured(np.zeros(2), (1, 1, 1), 1.0), r"give \[array\]"),
    ],
)
def test_wrong_requests_say_what_came(call, message):
    with pytest.raises(InputError, match=message):
        call(Events(**GOOD))


# Events in a data set


def event_split(x, lengths):
    y = torch.arange(x.shape[1]) % 2
    return Split(Events.from_dense(x), y, torch.tensor(lengths))


def test_a_split_of_events_gives_the_batches_of_its_tensor():
    x = random_events((9, 4, 7))
    x[6:, 2] = 0
    sparse = event_split(x, [9, 9, 6, 9])
    dense = replace(sparse, x=x)
    for indices in ([2], [3, 2], [0, 1, 2, 3]):
        one, other = sparse.batch(indices), dense.batch(indices)
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.lengths, other.lengths)
        assert torch.equal(one.y, other.y)


def test_a_data_set_of_events_is_checked():
    x = random_events((9, 4, 7))
    x[6:, 2] = 0
    assert toy(event_split(x, [9, 9, 6, 9]), events=True).input_size == 7
    x[6, 2, 0] = 1
    with pytest.raises(InputError, match="must be zero after"):
        toy(event_split(x, [9, 9, 6, 9]), events=True)
    with pytest.raises(InputError, match="declared as events"):
        toy(event_split(2 * x, [9] * 4), events=True)
    with pytest.raises(InputError, match="holds Events"):
        toy(event_split(x, [9] * 4), events=True).with_input(lambda x: x)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_a_whole_number_of_steps_is_in_its_own_step(unit, kind):
    """One event per step of 1 ms, its time written in any unit and rounded as it may be."""
    steps = range(1000)
    times = [k / 1e3 * MILLISECONDS["s"] / MILLISECONDS[unit] for k in steps]
    events = Events.from_addresses([kind(times)], [[0] * 1000], 1, 1.0, unit)
    assert events.shape == (1000, 1, 1)
    assert events.values.tolist() == [1.0] * 1000


@pytest.mark.parametrize("kind", [">i8", ">f4", np.uint64, np.float16])
def test_arrays_of_any_type_and_layout(kind):
    times = np.array([3, 2, 1], kind)
    events = Events.from_addresses([times[::-1]], [np.arange(3, dtype=">u2")], 3, 1.0)
    assert events.to_dense()[:, 0].nonzero().tolist() == [[1, 0], [2, 1], [3, 2]]


def test_times_of_day_are_right_or_refused():
    """Microseconds since midnight, out of order: the steps differ as the times do."""
    noon = 12 * 3600 * 10**6
    times = [noon + 5000, noon, noon + 2000]
    events = Events.from_addresses([times], [[0, 1, 2]], 3, 1000.0, "us", steps=50_000)
    assert events.shape == (50_000, 1, 3)
    assert events.indices.tolist() == [0, 1, 2]
    finer = Events.from_addresses([[t - noon for t in times]], [[0, 1, 2]], 3, 1.0, "us")
    assert finer.to_dense()[:, 0].nonzero().tolist() == [[0, 1], [2, 2], [5, 0]]
    with pytest.raises(InputError, match="times from the start of each recording"):
        Events.from_addresses([times], [[0, 1, 2]], 3, 1e-6, "us")
    with pytest.raises(InputError, match="must lie in"):
        Events.from_addresses([[-1.0]], [[0]], 1, 1.0)


def test_events_that_cancel_still_take_their_steps():
    values = [[1.0, 1.0, -1.0]]
    events = Events.from_addresses([[0.0, 5.0, 5.0]], [[0, 1, 1]], 2, 1.0, values=values)
    assert (events.steps, len(events.indices)) == (6, 1)


@pytest.mark.parametrize("time", [np.float32(-0.0009), -1e-7])
def test_a_time_below_zero_is_refused_however_little(time):
    with pytest.raises(InputError, match="times of recording 0 lie below 0"):
        Events.from_addresses([np.array([time])], [[0]], 1, dt=1.0)
