"""Training learns, repeats itself, survives being killed, and stops when it diverges."""

import itertools
import math
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.nn.utils import prune
from torch.utils.data import DataLoader

from spikern._utils.errors import DataError, DivergedError, InputError
from spikern.cost import count
from spikern.data import collate, collate_events, encoded, load
from spikern.data.dataset import UNLABELLED, Batch, Dataset, Split
from spikern.events import Events
from spikern.layers.baseline import BASELINES
from spikern.layers.network import build
from spikern.layers.rnn import SpikingRNN
from spikern.neurons import LI, LIF
from spikern.neurons.constants import decay
from spikern.studies.robustness import disturbed
from spikern.train import batches, checkpoint, evaluation, load_network, loop
from spikern.train.calibration import calibrate
from spikern.train.evaluation import evaluate
from spikern.train.loop import fit
from spikern.train.recipes import recipe
from spikern.train.training import Training
from spikern.train.trial import fresh_network, train_and_test

TRAINING = Training(epochs=3, batch_size=32, learning_rate=5e-2)


def small(count=96, steps=12):
    """Which of two inputs is the louder one: easy, and made in no time."""
    generator = torch.Generator().manual_seed(0)

    def split(n):
        y = torch.randint(2, (n,), generator=generator)
        louder = torch.nn.functional.one_hot(y, 2)
        x = torch.rand(steps, n, 2, generator=generator) + 0.5 * louder
        return Split(x, y, torch.full((n,), steps))

    return Dataset(
        "small",
        "louder",
        split(count),
        split(48),
        split(48),
        ("a", "b"),
        False,
        False,
        "made",
        "-",
        1.0,
    )


def trained(model, training=TRAINING, seed=0, **rest):
    torch.manual_seed(seed)
    network = build(model, 2, 12, 2, **({} if model in BASELINES else {"dt": 4.0}))
    return network, fit(network, small(), training, seed, **rest)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))


def without_time(history):
    return [e._replace(seconds=0) for e in history.epochs], history.best_epoch


@pytest.mark.parametrize("model", ["LIF", "ALIF", "RNN", "GRU", "LSTM"])
def test_learns(model):
    network, history = trained(model, replace(TRAINING, epochs=10))
    assert history.epochs[-1].loss < 0.5 * history.epochs[0].loss
    assert evaluate(network, small().test).accuracy > 0.85


def test_same_seed_same_weights_other_seed_others():
    first, again, other = (trained("ALIF", seed=s)[0] for s in (0, 0, 1))
    assert same(first, again)
    assert not same(first, other)


@pytest.mark.parametrize("model", ["ALIF", "LSTM"])
@pytest.mark.parametrize("stop_after", [1, 2])
def test_interrupted_and_resumed_equals_unbroken(tmp_path, model, stop_after):
    class Killed(Exception):
        pass

    seen = []

    def kill(epoch):
        seen.append(epoch)
        if epoch.epoch == stop_after:
            raise Killed

    path = tmp_path / "run.safetensors"
    with pytest.raises(Killed):
        trained(model, checkpoint=path, callbacks=[kill])
    resumed, history = trained(model, checkpoint=path)
    assert history.epochs[:stop_after] == seen  # with their seconds: these were not trained again
    unbroken, whole = trained(model)
    assert same(resumed, unbroken)
    assert without_time(history) == without_time(whole)


@pytest.mark.slow
def test_killed_process_resumes_bit_for_bit(tmp_path):
    """SIGKILL at an arbitrary moment, as the command line runs it."""
    command = [
        sys.executable, "-m", "spikern", "compare", "digits", "--models", "ALIF",
        "--seeds", "1", "--epochs", "4", "--hidden", "16", "--out",
    ]  # fmt: skip
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    process = subprocess.Popen([*command, str(broken)], stderr=subprocess.DEVNULL)
    checkpoint = broken / "jobs" / "ALIF-0.safetensors"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert checkpoint.exists()
    assert not (broken / "results.json").exists()
    subprocess.run([*command, str(broken), "--resume"], check=True, capture_output=True)
    subprocess.run([*command, str(whole)], check=True, capture_output=True)
    from spikern.train.checkpoint import read

    a, b = (read(d / "jobs" / "ALIF-0.safetensors")[0] for d in (broken, whole))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_a_corrupt_checkpoint_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    path.write_bytes(b"half a file")
    with pytest.raises(DataError, match="delete it to start anew"):
        trained("LIF", checkpoint=path)


def test_divergence_stops_with_advice():
    network = build("RNN", 2, 12, 2)
    with torch.no_grad():
        network.readout.weight[0] = 1e38  # the gradient overflows
    with pytest.raises(DivergedError, match="lower the learning rate"):
        fit(network, small(), TRAINING)


def overflowing(at, more=0.0):
    """A cross-entropy and a number, whose gradient is no number in some batches."""
    calls = itertools.count()

    def loss(logits, labels):
        right = functional.cross_entropy(logits, labels) + more
        return right + (0 * logits.sum()).sqrt() if next(calls) in at else right

    return loss


def test_an_update_whose_gradient_overflows_is_left_out():
    """What is left is the training whose learning rate is zero at these batches: 2, 3 and 5."""

    def run(**settings):
        torch.manual_seed(0)
        network = build("LIF", 2, 12, 2, dt=4.0)
        sgd = torch.optim.SGD(network.parameters(), lr=0.1)
        return network, fit(network, small(), TRAINING, optimizer=sgd, **settings)

    def schedule(progress):
        return 0.0 if round(9 * progress) in (1, 2, 4) else 1.0

    at_zero, wanted = run(schedule=schedule)
    with pytest.warns(UserWarning, match="left out") as caught:
        left_out, history = run(schedule=lambda progress: 1.0, loss=overflowing({1, 2, 4}))
    assert [str(one.message)[:25] for one in caught] == [
        "2 of 3 updates of epoch 1", "1 of 3 updates of epoch 2",
    ]  # fmt: skip
    assert same(at_zero, left_out)
    assert without_time(history) == without_time(wanted)


def test_three_gradients_in_a_row_that_overflow_end_a_training_that_guesses():
    """Two classes are guessed with a loss of ln 2; with less the updates are left out."""
    training = replace(TRAINING, batch_size=4)
    with pytest.raises(DivergedError, match=r"epoch 1, batch 6: loss 1\.\d+, gradient norm nan"):
        trained("LIF", training, loss=overflowing({3, 4, 5}, 1.0))
    with pytest.warns(UserWarning, match="3 of 24 updates of epoch 1 were left out"):
        _, history = trained("LIF", training, loss=overflowing({3, 4, 5}, -0.5))
    assert len(history.epochs) == TRAINING.epochs
    with pytest.raises(DivergedError, match="no update had a gradient that is finite"):
        trained("LIF", loss=overflowing({3, 4, 5}, -0.5))


def test_training_keeps_oscillators_in_the_stable_region():
    """Above an omega dt of 1 a neuron is silent, and its gradient is not a number."""
    network = build("BRF", 2, 12, 2)
    network.body.set_constants(omega=0.98)
    fit(network, small(), replace(TRAINING, epochs=1, learning_rate=0.1, schedule="constant"))
    omega = network.body.constants()["omega"].detach()
    assert float(omega.max()) == pytest.approx(0.999)  # some have come to the bound
    assert float(omega.min()) < 0.98


def test_the_rate_penalty_lowers_the_rate():
    rates = []
    for penalty in (0.0, 1000.0):
        training = replace(TRAINING, epochs=8, rate=0.3, rate_limit=0.02, rate_penalty=penalty)
        _, history = trained("LIF", training)
        rates.append(history.epochs[-1].rate)
    assert rates[1] < 0.9 * rates[0]


def test_extreme_rates_are_warned_of():
    network = build("LIF", 2, 12, 2)
    with torch.no_grad():
        network.body.bias_l0.fill_(-1e6)
    with pytest.warns(UserWarning, match="layer 0 is silent"):
        fit(network, small(), replace(TRAINING, epochs=1))


@pytest.mark.parametrize("setting", [{"epochs": 0}, {"batch_size": 0}, {"clip": 0.0}])
def test_bad_settings(setting):
    with pytest.raises(InputError, match=next(iter(setting))):
        Training(**setting)


@pytest.mark.slow
def test_digits_lstm_reaches_ninety_five_per_cent():
    """In the mean over five seeds: one training, which rounding steers, ends at 93.6 to 98.3 %."""
    digits = load("digits")
    reached = []
    for seed in range(5):
        network = fresh_network("LSTM", 68, digits, seed)  # 20,002 parameters
        fit(network, digits, recipe("digits").gated, seed)
        reached.append(evaluate(network, digits.test).accuracy)
    assert statistics.mean(reached) >= 0.95


def test_a_state_is_carried_on_as_if_the_stream_were_whole(monkeypatch):
    """Two sequences of one stream, evaluated with the state carried, are one long sequence."""
    monkeypatch.setattr(batches, "STREAMS", 1)
    x, y = 3 * torch.randn(20, 1, 2), torch.randint(3, (20, 1))
    network = build("ALIF", 2, 16, 3, "every_step")
    whole = Split(x, y, torch.tensor([20]))
    halves = Split(torch.cat(x.split(10), 1), torch.cat(y.split(10), 1), torch.tensor([10, 10]))
    wanted = evaluate(network, whole).predictions
    assert evaluate(network, whole).rates[0] > 0
    found = evaluate(network, halves, carry_state=True)
    assert torch.equal(torch.cat(found.predictions.unbind(1)), wanted[:, 0])
    assert abs(evaluate(network, halves).loss - found.loss) > 1e-3


def test_an_evaluation_has_no_dropout_and_leaves_the_modes():
    data = small()
    network = build("LIF", 2, 40, 2, num_layers=2, dropout=0.5)
    fit(network, data, replace(TRAINING, epochs=1))
    assert not any(part.training for part in network.modules())
    network.train()
    network.readout.eval()
    logits = [network(data.test.x)[0] for _ in "ab"]
    assert not torch.equal(*logits)
    assert evaluate(network, data.test).loss == evaluate(network, data.test).loss
    assert [network.training, network.body.training, network.readout.training] == [1, 1, 0]


@pytest.mark.parametrize("model", ["LIF", "LSTM"])
def test_past_the_end_of_a_sequence_the_prediction_is_zero(model):
    lengths = torch.tensor([20, 5])
    labels = torch.where(torch.arange(20)[:, None] < lengths, 0, UNLABELLED)
    split = Split(torch.randn(20, 2, 2), labels, lengths)
    network = build(model, 2, 16, 3, "every_step")
    if model == "LSTM":
        with torch.no_grad():
            network.readout.bias[1] = 9.0
    predictions = evaluate(network, split).predictions
    assert not predictions[5:, 1].any()
    assert torch.equal(predictions[:, 0], network(split.x)[0].argmax(-1)[:, 0])
    if model == "LSTM":
        assert predictions[:, 0].all()
        assert predictions[:5, 1].all()


@pytest.mark.parametrize("model", ["ALIF", "LSTM"])
def test_training_with_the_state_carried_on_learns_what_lies_further_back(model):
    """The label of a piece is the last symbol before it, which only a carried state knows."""
    generator = torch.Generator().manual_seed(0)

    def part(count):
        symbols = torch.randint(2, (count,), generator=generator)
        x = torch.zeros(4, count, 2)
        x[3, torch.arange(count), symbols] = 3.0
        y = torch.full((4, count), UNLABELLED)
        y[1, 1:] = symbols[:-1]
        return Split(x, y, torch.full((count,), 4))

    data = Dataset("back", "back", part(400), part(96), part(96), ("a", "b"), True, False,
                   "made", "none", 1.0)  # fmt: skip
    accuracies = {}
    for carry in (False, True):
        network = fresh_network(model, 32, data, seed=0)
        training = Training(epochs=12, batch_size=8, learning_rate=2e-2, carry_state=carry)
        fit(network, data, training)
        accuracies[carry] = evaluate(network, data.test, carry_state=carry).accuracy
    assert accuracies[False] < 0.7  # a coin, chosen among epochs
    assert accuracies[True] > 0.85


def test_a_loss_at_every_step_is_the_mean_of_the_labels_at_valid_steps():
    network = build("LIF", 2, 8, 3, "last")
    batch = Batch(torch.randn(5, 2, 2), torch.tensor([0, 2]), torch.tensor([5, 3]))
    logits = network.run(batch.x, None, batch.lengths, "every_step")[0].logits
    labels = batches.labels_of(batch, logits)
    assert labels[:, 0].tolist() == [0] * 5
    assert labels[:, 1].tolist() == [2] * 3 + [UNLABELLED] * 2
    one_by_one = [
        torch.nn.functional.cross_entropy(logits[t, b], batch.y[b])
        for b in (0, 1)
        for t in range(int(batch.lengths[b]))
    ]
    assert evaluation.cross_entropy(logits, labels).item() == pytest.approx(
        torch.stack(one_by_one).mean().item(), rel=1e-6
    )


def loader(split, **settings):
    return DataLoader(split, 32, collate_fn=collate, **settings)


@pytest.mark.parametrize("data", [small(), load("digits").thinned(60)], ids=["small", "digits"])
def test_a_loader_of_a_split_gives_its_batches(data):
    lengths = torch.arange(len(data.train)) % 5 + 1
    x = data.train.x * (torch.arange(len(data.train.x))[:, None] < lengths)[..., None]
    uneven = replace(data.train, x=x, lengths=lengths)
    for indices, batch in zip(torch.arange(len(uneven)).split(32), loader(uneven)):
        wanted = uneven.batch(indices)
        for part in ("x", "y", "lengths"):
            assert torch.equal(getattr(batch, part), getattr(wanted, part))
    events = replace(data.train, x=Events.from_dense((data.train.x > 0.5).to(torch.uint8)))
    assert torch.equal(events[3][0], (data.train.x[:, 3] > 0.5).float())
    assert len(list(events)) == len(events)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_loader_of_events_trains_as_that_of_tensors_does(workers):
    data = encoded(load("digits").thinned(60), 0.5)
    lengths = torch.arange(len(data.train)) % 60 + 5
    x = data.train.x * (torch.arange(len(data.train.x))[:, None] < lengths)[..., None]
    train = replace(data.train, x=x, lengths=lengths)
    states = []
    for put_together in (collate, collate_events):
        torch.manual_seed(0)
        network = build("ALIF", data.input_size, 8, data.classes)
        batches = DataLoader(train, 16, collate_fn=put_together, num_workers=workers)
        assert isinstance(next(iter(batches)).x, Events) == (put_together is collate_events)
        fit(network, batches, Training(epochs=2), validation=data.validation, bar=False)
        states.append(network.state_dict())
        judged = evaluate(network, batches)
        states[-1] |= {"predictions": judged.predictions}
    assert all(map(torch.equal, *(state.values() for state in states)))


def test_batches_train_as_the_data_set_does_that_they_are_of():
    data = small()
    training = replace(TRAINING, rate=None)
    wanted, history = trained("ALIF", training)

    class Orders:
        """The batches that `fit` makes of the data set, epoch by epoch."""

        epochs = 0

        def __iter__(self):
            order = torch.randperm(96, generator=loop._generator(0, self.epochs))
            self.epochs += 1
            chosen = [data.train.batch(indices) for indices in order.split(32)]
            return iter([(batch.x, batch.y, batch.lengths) for batch in chosen])

        def __len__(self):
            return 3

    torch.manual_seed(0)
    network = build("ALIF", 2, 12, 2, dt=4.0)
    found = fit(network, Orders(), training, validation=loader(data.validation))
    # The loader's batches are smaller, so that losses add up in another order.
    by_batches, by_split = (
        [epoch.validation_loss for epoch in one.epochs] for one in (found, history)
    )
    assert by_batches == pytest.approx(by_split, rel=1e-6)
    assert [epoch[:4] for epoch in found.epochs] == [epoch[:4] for epoch in history.epochs]
    assert same(network, wanted)
    judged = evaluate(network, loader(data.test))
    assert torch.equal(judged.predictions, evaluate(network, data.test).predictions)
    assert judged.accuracy == evaluate(network, data.test).accuracy


def test_a_loader_is_repeated_by_its_seed_and_resumed(tmp_path):
    def run(seed=0, **rest):
        torch.manual_seed(0)
        network = build("LIF", 2, 12, 2)
        data = small()
        training = replace(TRAINING, epochs=4)
        shuffled = loader(data.train, shuffle=True)
        return network, fit(network, shuffled, training, seed, validation=data.validation, **rest)

    whole, history = run()
    again, _ = run()
    other, _ = run(seed=1)
    assert same(whole, again)
    assert not same(whole, other)
    path = str(tmp_path / "run.safetensors")
    _, short = run(checkpoint=path, callbacks=[lambda epoch: epoch.epoch == 2])
    assert len(short.epochs) == 2
    resumed, found = run(checkpoint=path)
    assert same(resumed, whole)
    assert without_time(found) == without_time(history)


def test_a_sgd_with_momentum_and_a_schedule_of_ones_own_resumes_too(tmp_path):
    rates = []

    def run(**rest):
        torch.manual_seed(0)
        network = build("GRU", 2, 12, 2)
        sgd = torch.optim.SGD(network.parameters(), lr=0.5, momentum=0.9)
        smooth = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
        return network, fit(
            network, small(), TRAINING, optimizer=sgd, loss=smooth,
            schedule=lambda progress: rates.append(progress) or 1 - progress, **rest,
        )  # fmt: skip

    whole, history = run()
    assert rates == [k / 9 for k in range(9)]
    assert history.epochs[-1].loss < history.epochs[0].loss
    path = tmp_path / "run.safetensors"
    run(checkpoint=path, callbacks=[lambda epoch: epoch.epoch == 1])
    assert same(run(checkpoint=path)[0], whole)
    tensors, header = checkpoint.read(path)
    tensors["optimizer.0.momentum_buffer"] = torch.zeros(2)
    checkpoint.write(path, tensors, header)
    with pytest.raises(DataError, match=r"expected optimizer\.0\.momentum_buffer as real"):
        run(checkpoint=path)


def test_what_an_iterable_cannot_be_is_said():
    data, network = small(), build("LIF", 2, 8, 2)
    x, y, lengths = data.train.x, data.train.y, data.train.lengths

    def refused(batches, match, **rest):
        with pytest.raises(InputError, match=match):
            fit(network, batches, TRAINING, **{"validation": data.validation, **rest})

    refused([(x, y)], "batches need validation=", validation=None)
    refused(((x, y) for _ in range(3)), "a generator ends after one epoch")
    refused([(x, y)], "a generator ends", validation=((x, y) for _ in range(3)))
    refused([x], "expected a Batch, .* got Tensor; give the DataLoader a collate_fn")
    refused([(x.transpose(0, 1), y)], "batch 1: expected x .T, B, F. with y")
    refused([(x, y + 1)], "batch 1: labels must lie in 0..1 or be -100, got 1..2")
    refused([(x.double(), y)], r"expected x as non-empty .T, N, F. torch.float32, got .*float64")
    refused([(x.numpy(), y.numpy())], "of tensors, got tuple of ndarray, ndarray; .*from_numpy")
    refused((x, y), r"got one batch: give \[\(x, y\)\]")
    refused([(x, y)], r"got one batch: give \[\(x, y\)\]", validation=(x, y))
    refused([(x, y)], "expected batches, got none", validation=[])
    refused([(x, y)], "expected an iterable of batches, got int", validation=3)
    refused([], "expected batches, got none")
    refused([(x, torch.full_like(y, UNLABELLED), lengths)], "no batch of epoch 1 has a label")
    refused(data, "small has a validation split; leave validation= out")
    other = torch.optim.SGD(build("LIF", 2, 8, 2).parameters(), lr=0.1)
    refused([(x, y)], "the optimizer has parameters that the network does not", optimizer=other)


def test_labels_after_the_end_of_a_sequence_are_refused():
    lengths = torch.tensor([20, 5])
    x, y = torch.randn(20, 2, 2), torch.zeros(20, 2).long()
    padded, network = Split(x, y, lengths), build("LIF", 2, 8, 3, "every_step")
    right = torch.where(torch.arange(20)[:, None] < lengths, y, UNLABELLED)
    for batches_of_it in (padded, [(x, y, lengths)]):
        with pytest.raises(InputError, match="a step after a sequence's last must be -100"):
            evaluate(network, batches_of_it)
    with pytest.raises(InputError, match="a step after a sequence's last must be -100"):
        fit(network, [(x, right, lengths)], TRAINING, validation=padded)
    fit(network, [(x, right, lengths)], TRAINING, validation=Split(x, right, lengths))
    with pytest.raises(InputError, match=r"the split: labels must lie in 0\.\.2 or be -100"):
        evaluate(network, Split(x, right.clamp(max=0) + 3 * (right == 0), lengths))


def test_settings_that_batches_cannot_have_are_refused():
    x = torch.randn(9, 4, 2)
    steps = [(x, torch.zeros(9, 4).long())]
    whole = [(x, torch.tensor([0, 1, 0, 1]))]
    spikes = [collate_events([(torch.ones(9, 2), torch.tensor(k % 2)) for k in range(4)])]

    def refused(network, batches, match, **settings):
        training = replace(TRAINING, **settings)
        with pytest.raises(InputError, match=match):
            fit(network, batches, training, validation=batches)

    by_step, whole_answer = build("LIF", 2, 8, 2, "every_step"), build("LIF", 2, 8, 2)
    refused(by_step, steps, "labels at every step, which time_stretch would", time_stretch=0.1)
    refused(whole_answer, spikes, "holds events, which take no input_noise", input_noise=0.1)
    refused(whole_answer, whole, "carry_state needs a label at every step", carry_state=True)
    both_ways = build("LIF", 2, 8, 2, "every_step", bidirectional=True)
    refused(both_ways, steps, "bidirectional=False", carry_state=True)
    for network, given in ((whole_answer, whole), (both_ways, steps)):
        with pytest.raises(InputError, match="carry_state needs"):
            evaluate(network, given, carry_state=True)


def test_an_optimizer_of_a_part_trains_as_if_the_rest_were_frozen():
    ends = []
    for frozen in (True, False):
        torch.manual_seed(0)
        network = build("BRF", 2, 12, 2)
        network.body.requires_grad_(not frozen)
        sgd = torch.optim.SGD(network.readout.parameters(), lr=0.5)
        fit(network, small(), replace(TRAINING, clip=0.05, rate=None), optimizer=sgd)
        assert sgd.param_groups[0]["lr"] == 0.5  # for another training
        ends.append(network)
    assert same(*ends)


def test_a_loss_with_other_tensors_or_arguments_is_another_run(tmp_path):
    def weighted(weight):
        return torch.nn.CrossEntropyLoss(torch.tensor(weight))

    def smooth(share):
        return partial(functional.cross_entropy, label_smoothing=share)

    for n, (loss, other) in enumerate(
        [(weighted([1.0, 1.0]), weighted([1.0, 50.0])), (smooth(0.0), smooth(0.9))]
    ):
        path = tmp_path / f"{n}.safetensors"
        for again in (loss, loss):
            trained("LIF", loss=again, checkpoint=path)
        with pytest.raises(DataError, match="belongs to another run: loss is"):
            trained("LIF", loss=other, checkpoint=path)


def test_an_adam_with_the_largest_moments_resumes(tmp_path):
    def run(**rest):
        torch.manual_seed(0)
        network = build("GRU", 2, 12, 2)
        adam = torch.optim.AdamW(network.parameters(), lr=0.05, amsgrad=True)
        fit(network, small(), TRAINING, optimizer=adam, **rest)
        return network

    path = tmp_path / "run.safetensors"
    run(checkpoint=path, callbacks=[lambda epoch: epoch.epoch == 1])
    assert same(run(checkpoint=path), run())


def test_what_a_checkpoint_cannot_hold_is_said_before_the_training(tmp_path):
    training = Training(epochs=np.int64(1), learning_rate=np.float32(0.5), batch_size=np.int32(96))
    assert [type(v) for v in (training.epochs, training.learning_rate)] == [int, float]
    trained("LIF", training, checkpoint=tmp_path / "numpy.safetensors")
    with pytest.raises(InputError, match="a checkpoint holds no bfloat16"):
        fit(build("LIF", 2, 8, 2).bfloat16(), small(), training, checkpoint=tmp_path / "half")
    network = build("LIF", 2, 8, 2)
    prune.random_unstructured(network.body, "weight_hh_l0", 0.5)
    with pytest.warns(UserWarning, match="load_network cannot rebuild weights that pruning"):
        fit(network, small(), training, checkpoint=tmp_path / "pruned.safetensors")


def test_an_epoch_without_an_update_ends_the_training(monkeypatch):
    def overflow(parameters, clip):
        return torch.tensor(math.inf)

    monkeypatch.setattr(loop.nn.utils, "clip_grad_norm_", overflow)
    with pytest.raises(DivergedError, match="epoch 1: no update had a gradient that is finite"):
        trained("LIF", replace(TRAINING, batch_size=48))


def test_a_network_of_doubles_trains_on_doubles():
    data, network = small(), build("LIF", 2, 8, 2).double()
    batch = data.train.x.double(), data.train.y
    history = fit(network, [batch], TRAINING, validation=[batch])
    again = build("LIF", 2, 8, 2).double()
    fit(again, data, TRAINING)
    assert evaluate(again, data.validation).predictions.shape == (len(data.validation),)
    assert len(history.epochs) == TRAINING.epochs


def test_a_bar_is_shown_to_whoever_watches(capsys, monkeypatch):
    trained("LIF")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    trained("LIF", device="cpu")
    assert "3/3" in capsys.readouterr().err
    trained("LIF", bar=False)
    assert capsys.readouterr().err == ""


def test_patience_ends_a_training_and_a_resumed_one_stays_ended(tmp_path):
    data = load("digits").thinned(40)
    training = Training(epochs=50, batch_size=40, learning_rate=1e-5, patience=3)
    network = fresh_network("RNN", 4, data, seed=0)
    history = fit(network, data, training, checkpoint=tmp_path / "x.safetensors")
    assert len(history.epochs) == history.best_epoch + 3 < 50
    again = fit(
        fresh_network("RNN", 4, data, seed=0), data, training, 0, tmp_path / "x.safetensors"
    )
    assert again == history


def test_the_epoch_is_selected_by_accuracy_or_by_loss(tmp_path):
    """Of equal accuracies the first counts, which may be far from the least loss."""
    training = replace(TRAINING, epochs=12)
    network, by_accuracy = trained("LIF", training)
    accuracies = [epoch.validation_accuracy for epoch in by_accuracy.epochs]
    losses = [epoch.validation_loss for epoch in by_accuracy.epochs]
    assert by_accuracy.best_epoch == 1 + accuracies.index(max(accuracies))
    assert losses.index(min(losses)) != accuracies.index(max(accuracies))
    assert evaluate(network, small().validation).loss == losses[by_accuracy.best_epoch - 1]

    path = tmp_path / "run.safetensors"
    network, by_loss = trained("LIF", replace(training, select_by="loss"), checkpoint=path)
    assert by_loss.best_epoch == 1 + losses.index(min(losses))
    assert evaluate(network, small().validation).loss == min(losses)
    again, _ = trained("LIF", replace(training, select_by="loss"), checkpoint=path)
    assert same(network, again)


def test_patience_waits_for_what_the_epoch_is_selected_by():
    training = replace(TRAINING, epochs=60, learning_rate=2e-1, patience=2, schedule="constant")
    for measure in ("accuracy", "loss"):
        _, history = trained("RNN", replace(training, select_by=measure))
        assert len(history.epochs) == history.best_epoch + 2 < 60
        reached = [getattr(epoch, f"validation_{measure}") for epoch in history.epochs]
        best = max(reached) if measure == "accuracy" else min(reached)
        assert history.best_epoch == 1 + reached.index(best)


def test_epochs_of_version_0_1_0_are_gone_on_with(tmp_path):
    """They have no loss on validation."""
    path = tmp_path / "run.safetensors"
    whole, history = trained("LIF")
    stop = [lambda epoch: epoch.epoch == 2]
    trained("LIF", checkpoint=path, callbacks=stop)
    tensors, header = checkpoint.read(path)
    del header["training"]["select_by"]
    checkpoint.write(path, tensors, header | {"epochs": [epoch[:5] for epoch in header["epochs"]]})
    network, resumed = trained("LIF", checkpoint=path)
    assert same(whole, network)
    assert [epoch.validation_loss for epoch in resumed.epochs[:2]] == [None, None]
    assert without_time(resumed)[0][2] == without_time(history)[0][2]
    again, _ = trained("LIF", checkpoint=path)
    assert same(whole, again)

    (tensors, header), odd = checkpoint.read(path), [1, 0.5, 0.5]
    checkpoint.write(path, tensors, header | {"epochs": [odd]})
    with pytest.raises(DataError, match="delete it to start anew"):
        trained("LIF", checkpoint=path)


def test_a_loss_on_validation_that_is_no_number_ends_the_training(monkeypatch, tmp_path):
    path = tmp_path / "run.safetensors"
    trained("LIF", checkpoint=path, callbacks=[lambda epoch: epoch.epoch == 2])
    kept = path.read_bytes()
    judged = loop.evaluate
    monkeypatch.setattr(loop, "evaluate", lambda *a, **k: judged(*a, **k)._replace(loss=math.nan))
    with pytest.raises(DivergedError, match=r"epoch 3: the loss on validation is nan; lower"):
        trained("LIF", checkpoint=path)
    assert path.read_bytes() == kept


@pytest.mark.parametrize(
    ("settings", "name", "message"),
    [
        ({"schedule": "cosin"}, None, "did you mean 'cosine'"),
        ({"select_by": "los"}, None, "did you mean 'loss'"),
        ({"loss": "all"}, None, "no loss 'all'"),
        ({"final_rate": 1.0}, None, "final_rate must be at least 0 and below 1"),
        ({"schedule": "constant", "final_rate": 0.5}, None, "ends where it starts; leave out"),
        ({"patience": 0}, None, "patience must be at least 1"),
        ({"learning_rate": "1e-3"}, None, "learning_rate must be a number, got '1e-3'"),
        ({"epochs": 2.5}, None, "epochs must be a whole number, got 2.5"),
        ({"epochs": True}, None, "epochs must be a whole number, got True"),
        ({"patience": 1.5}, None, "patience must be a whole number, got 1.5"),
        ({"rate": "5 %"}, None, "rate must be a number, got '5 %'"),
        ({"carry_state": True}, "digits", "carry_state needs a label at every step"),
        ({"time_stretch": 0.1}, "copy_5", "holds events, which take no time_stretch"),
    ],
)
def test_settings_that_a_training_cannot_have_are_refused(settings, name, message):
    def train():
        training = Training(**{"epochs": 1} | settings)
        data = load(name).thinned(8)
        fit(fresh_network("LIF", 4, data, seed=0), data, training)

    with pytest.raises(InputError, match=message):
        train()


def input_weights(network):
    return network.body.weight_ih_l0.detach().clone()


CHANGES = {
    "fresh": lambda network: None,
    "loaded": lambda network: network.load_state_dict(build("LIF", 1, 8, 10).state_dict()),
    "frozen": lambda network: network.body.weight_ih_l0.requires_grad_(False),
}


@pytest.mark.parametrize("change", CHANGES)
def test_only_fresh_weights_that_train_are_calibrated(change, monkeypatch):
    """A training that changes nothing shows what calibration alone does."""
    monkeypatch.setattr(loop, "_train_epoch", lambda *_: (0.0, None))
    data = load("digits").thinned(40)
    network = fresh_network("LIF", 8, data, seed=0)
    CHANGES[change](network)
    before = input_weights(network)
    fit(network, data, Training(epochs=1))
    calibrated = input_weights(network)
    assert torch.equal(calibrated, before) == (change != "fresh")
    fit(network, data, Training(epochs=1))
    assert torch.equal(input_weights(network), calibrated)


def test_calibration_can_be_switched_off(monkeypatch):
    monkeypatch.setattr(loop, "_train_epoch", lambda *_: (0.0, None))
    data = load("digits").thinned(40)
    network = fresh_network("LIF", 8, data, seed=0)
    before = input_weights(network)
    fit(network, data, Training(epochs=1, rate=None))
    assert torch.equal(input_weights(network), before)


def part_of_steps(labels):
    """The same sequence of 4 steps with these labels at every step, a row for each time."""
    x = torch.randn(4, 1, 2, generator=torch.Generator().manual_seed(0)).repeat(1, len(labels), 1)
    return Split(x, torch.tensor(labels).T, torch.full((len(labels),), 4))


LABELLED, BLANK = [0, 1, 0, 1], [UNLABELLED] * 4


def steps_of(train, test=LABELLED):
    other = part_of_steps([test])
    return Dataset("steps", "steps", part_of_steps(train), other, other, ("a", "b"), True, False,
                   "made", "none", 1.0)  # fmt: skip


@pytest.mark.parametrize("carry", [False, True])
@pytest.mark.parametrize("order", [[BLANK, LABELLED], [LABELLED, BLANK]])
def test_a_batch_without_a_label_is_skipped(order, carry):
    """It used to end a training as one that diverges; its state is carried on all the same."""
    training = Training(epochs=1, batch_size=1, carry_state=carry)
    losses = []
    for labels in (order, [LABELLED]):
        network = fresh_network("RNN", 8, steps_of(labels), seed=0)
        losses.append(fit(network, steps_of(labels), training).epochs[0].loss)
    assert (losses[0] == losses[1]) == (not carry or order[0] is LABELLED)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ((torch.ones(3, 2), 0), r"sequence 1: .* got \(3, 2\) after \(4, 1\)"),
        ((torch.ones(3), 0), r"sequence 1: .* got \(3,\) after \(4, 1\)"),
        ((torch.ones(3, 1), torch.zeros(3)), r"as the first has, got labels of shape \(3,\)"),
        ((torch.ones(3, 1), "b"), "sequence 1: expected whole numbers as labels, got 'b'"),
    ],
)
def test_sequences_that_make_no_batch_are_named(pair, message):
    with pytest.raises(InputError, match=message):
        collate([(torch.ones(4, 1), 0), pair])


def test_what_cannot_be_judged_is_refused_for_what_it_is():
    network = fresh_network("LIF", 8, steps_of([LABELLED]), seed=0)
    for labels in ([BLANK], [BLANK, BLANK]):
        with pytest.raises(InputError, match=f"{len(labels)} sequences have no label"):
            evaluate(network, part_of_steps(labels))
    nothing = Split(torch.zeros(4, 0, 2), torch.zeros(4, 0).long(), torch.zeros(0).long())
    with pytest.raises(InputError, match="non-empty"):
        evaluate(network, nothing, carry_state=True)
    one_class = steps_of([[1, 1, UNLABELLED, 1]])
    with pytest.raises(InputError, match="all labels of steps in the training split are b"):
        fit(network, one_class, Training(epochs=1))


def test_a_parameter_without_a_gradient_does_not_keep_a_training_from_resuming(tmp_path):
    data, path = small(), tmp_path / "run.safetensors"
    idle = replace(
        LIF,
        name="Idle",
        step=lambda p, s, i, fire: LIF.step(p._replace(v_th=torch.ones_like(p.v_th)), s, i, fire),
    ).with_constant("v_th", trainable=True)

    def train():
        torch.manual_seed(0)
        return fit(build(idle, 2, 12, 2, engine="reference"), data, TRAINING, checkpoint=path)

    assert train() == train()


def test_labels_and_networks_that_do_not_go_together_are_refused():
    data = small()
    x, y = data.train.x, data.train.y
    steps = [(x, y.expand(len(x), -1))]
    with pytest.raises(InputError, match="a label for every step, and one answer per sequence"):
        fit(build("LIF", 2, 8, 2), steps, TRAINING, validation=data.validation)
    fit(build("LIF", 2, 8, 2, "every_step"), [(x, y)], TRAINING, validation=data.validation)
    with pytest.raises(InputError, match="small has 2 features and 2 classes, the network 3 inp"):
        fit(build("LIF", 3, 8, 2), data, TRAINING)
    with pytest.raises(InputError, match="fit trains a Network, got SpikingRNN"):
        fit(build("LIF", 2, 8, 2).body, data, TRAINING)
    with pytest.raises(InputError, match="small is three splits"):
        evaluate(build("LIF", 2, 8, 2), data)


def test_a_run_is_not_resumed_with_another_optimizer_or_loss(tmp_path):
    path = tmp_path / "run.safetensors"

    def run(rate=0.1, **rest):
        network = build("GRU", 2, 4, 2)
        sgd = torch.optim.SGD(network.parameters(), lr=rate)
        fit(network, small(), TRAINING, checkpoint=path, **{"optimizer": sgd, **rest})

    run()
    run()
    with pytest.raises(DataError, match=r"optimizer is .*0\.1.* there and .*0\.2.* here"):
        run(0.2)
    with pytest.raises(DataError, match=r"loss is None there and .*multi_margin_loss"):
        run(loss=torch.nn.functional.multi_margin_loss)
    with pytest.raises(DataError, match="schedule is None there"):
        run(schedule=lambda progress: 1.0)
    path.unlink()
    run(loss=torch.nn.CrossEntropyLoss())
    run(loss=torch.nn.CrossEntropyLoss())
    with pytest.raises(DataError, match=r"loss is .*'label_smoothing': 0\.3"):
        run(loss=torch.nn.CrossEntropyLoss(label_smoothing=0.3))
    path.unlink()
    run()
    with pytest.raises(DataError, match="optimizer"):
        run(optimizer=None)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"optimizer": torch.optim.SGD}, "expected an optimizer, made of the network's parameters"),
        ({"schedule": 0.5}, "schedule is a function, got float"),
        ({"loss": "mse"}, "loss is a function, got str"),
        ({"loss": torch.nn.CrossEntropyLoss(reduction="none")}, "a loss is one number"),
        ({"loss": lambda logits, labels: 1.0}, "a loss is one number"),
        ({"callbacks": print}, "callbacks are a list of functions"),
        ({"callbacks": [None]}, "callbacks are a list of functions"),
        ({"device": "gpu"}, "cannot be moved to gpu"),
        ({"schedule": lambda progress: None}, "a schedule returns a share .* got None at"),
        ({"schedule": lambda progress: -0.5}, "a schedule returns a share .* got -0.5 at"),
        ({"schedule": lambda progress: float("nan")}, "a schedule returns a share .* got nan"),
    ],
)
def test_parts_of_another_kind_are_refused(part, message):
    with pytest.raises(InputError, match=message):
        fit(build("LIF", 2, 8, 2), small(), TRAINING, **part)


@pytest.mark.parametrize("threads", [1, 2])
def test_drawn_weights_are_fresh_in_another_type_and_by_other_threads(threads):
    """700 x 512 weights are summed in another order by two threads."""
    large = SpikingRNN("LIF", 700, 512, recurrent=False)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert large.is_fresh
        assert large.double().is_fresh
    finally:
        torch.set_num_threads(before)
    with torch.no_grad():
        large.weight_ih_l0[0, 0] += 1
    assert not large.is_fresh


def test_a_body_that_never_fires_is_trained():
    network = build(LI, 2, 8, 2, recurrent=False)
    (epoch,) = fit(network, small(), replace(TRAINING, epochs=1)).epochs
    assert epoch.rate is None


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("LIF", {"dt": np.float32(0.5), "recurrent": np.float32(0.5), "num_layers": np.int64(1)}),
        ("GRU", {"num_layers": np.int64(1)}),
    ],
)
def test_numbers_of_numpy_are_numbers(model, settings, tmp_path):
    """As sizes, settings and seed; the checkpoint holds them."""
    path = tmp_path / "numpy.safetensors"
    network = build(model, np.int64(2), np.int64(8), np.int64(2), **settings)
    fit(network, small(), replace(TRAINING, epochs=1), np.int64(1), path)
    x = torch.rand(5, 2, 2)
    assert torch.equal(load_network(path)(x)[0], network(x)[0])


@pytest.mark.parametrize("settings", [{}, {"delay": 2}])
def test_the_spikes_of_a_readout_are_none_of_a_hidden_layer(settings):
    """Whether body and readout run as one stack or one after the other."""
    network = build("LIF", 2, 8, 2, readout=LIF, **settings)
    assert len(network.run(torch.rand(5, 3, 2))[0].spikes) == 1


def test_calibration_takes_lengths_as_numbers_and_a_layer_alone():
    layer, x = SpikingRNN("LIF", 2, 8), torch.rand(9, 2, 2)
    assert len(calibrate(layer, x, [9, 4])) == 1
    for other in (build("LIF", 2, 8, 2), torch.nn.GRU(2, 8)):
        with pytest.raises(InputError, match="expected a SpikingRNN, got"):
            calibrate(other, x)


def test_padding_is_no_right_answer_at_all_steps():
    lengths = torch.tensor([3] * 7 + [12])
    valid = torch.arange(12)[:, None] < lengths
    x = torch.randn(12, 8, 2, generator=torch.Generator().manual_seed(0)) * valid.unsqueeze(2)
    y = torch.where(valid & (torch.arange(12)[:, None] % 3 > 0), torch.arange(8) % 2, UNLABELLED)
    part = Split(x, y, lengths)
    data = replace(steps_of([LABELLED]), train=part, validation=part, test=part)
    data = replace(data, label_of_unlabelled=0)
    network = fresh_network("LIF", 4, data, 0)
    found = train_and_test(network, data, Training(epochs=1), 0)["test_accuracy_all_steps"]
    answers = evaluate(network, part).predictions
    right = answers == torch.where(y == UNLABELLED, 0, y)
    assert found == float(right[valid].double().mean()) != float(right.double().mean())


def test_a_seed_has_room_in_its_generator():
    with pytest.raises(InputError, match="seed must lie between"):
        fit(build("LIF", 2, 4, 2), small(8, 2), Training(epochs=1), seed=2**43)
    fit(build("LIF", 2, 4, 2), small(8, 2), Training(epochs=1), seed=2**43 - 1)


def test_a_constant_is_no_weight_whatever_its_symbol():
    named = {**LIF.constants, "alpha_mem": decay("weight_time", 20.0)}
    network = build(replace(LIF, name="Named", constants=named), 3, 8, 2)
    weights, others = loop._adam(network, Training(weight_decay=0.1)).param_groups
    raw = network.body.raw_weight_time_l0
    assert any(p is raw for p in others["params"])
    assert not any(p is raw for p in weights["params"])
    assert len(weights["params"]) == 3
    assert (weights["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert torch.equal(disturbed(network, 0.5, seed=0).body.raw_weight_time_l0, raw)
    assert count(network, torch.randn(5, 2, 3))["hidden 0"].units == 8


@pytest.mark.parametrize("stop_after", [None, 2])
def test_a_callback_may_change_the_learning_rate_and_a_resumed_run_is_the_same(
    stop_after, tmp_path
):
    def halve(optimizer, stop=None):
        def call(epoch):
            optimizer.param_groups[0]["lr"] *= 0.5
            return epoch.epoch == stop

        return call

    def run(path, training, stop=None):
        torch.manual_seed(0)
        network = build("LIF", 2, 8, 2)
        optimizer = torch.optim.Adam(network.parameters(), 0.1)
        seen = []
        optimizer.register_step_post_hook(lambda *_: seen.append(optimizer.param_groups[0]["lr"]))
        fit(
            network, small(), training, checkpoint=path, optimizer=optimizer,
            callbacks=[halve(optimizer, stop)],
        )  # fmt: skip
        assert optimizer.param_groups[0]["lr"] == 0.1
        return network, seen

    training = Training(epochs=4, batch_size=96, schedule="linear")
    unbroken, rates = run(tmp_path / "a.safetensors", training)
    steps = len(rates) // 4
    assert rates[::steps] == pytest.approx([0.1, 0.05 * 0.75, 0.025 * 0.5, 0.0125 * 0.25])
    if stop_after:
        run(tmp_path / "b.safetensors", training, stop_after)
        assert same(run(tmp_path / "b.safetensors", training)[0], unbroken)


def test_a_callback_answers_true_or_nothing():
    for answer in (None, False, np.False_):
        assert len(trained("LIF", callbacks=[lambda _, a=answer: a])[1].epochs) == TRAINING.epochs
    assert len(trained("LIF", callbacks=[lambda _: np.True_])[1].epochs) == 1
    with pytest.raises(InputError, match=r"returns True to end the training.* got 12"):
        trained("LIF", callbacks=[lambda _: 12])


def test_what_validation_draws_follows_from_the_seed():
    data, found = small(), []
    for own in (1, 2):
        torch.manual_seed(0)
        network = build("LIF", 2, 8, 2)
        torch.manual_seed(own)
        judged = DataLoader(data.validation, 3, shuffle=True, drop_last=True, collate_fn=collate)
        history = fit(network, loader(data.train), TRAINING, validation=judged)
        found.append([epoch.validation_loss for epoch in history.epochs])
    assert found[0] == found[1]


def test_settings_of_an_optimizer_that_are_several_numbers_are_held_to(tmp_path):
    def run(epochs, betas):
        torch.manual_seed(0)
        network = build("LIF", 2, 8, 2)
        own = torch.optim.Adam(network.parameters(), 0.01, betas)
        path = tmp_path / "run.safetensors"
        return fit(
            network, small(), replace(TRAINING, epochs=epochs), checkpoint=path, optimizer=own
        )

    run(2, (0.9, 0.999))
    run(2, (0.9, 0.999))
    with pytest.raises(DataError, match="belongs to another run"):
        run(2, (0.5, 0.999))


def test_a_training_with_adafactor_is_resumed(tmp_path):
    def run(stop=None):
        torch.manual_seed(0)
        network = build("RNN", 2, 8, 2)
        own = torch.optim.Adafactor(network.parameters(), 0.01)
        path = tmp_path / "run.safetensors"
        callbacks = [lambda epoch: epoch.epoch == stop]
        fit(network, small(), TRAINING, checkpoint=path, optimizer=own, callbacks=callbacks)
        return network

    run(stop=1)
    resumed = run()
    (tmp_path / "run.safetensors").unlink()
    assert same(resumed, run())


def test_a_training_that_diverges_leaves_the_best_weights():
    torch.manual_seed(0)
    network = build("RNN", 2, 8, 2)
    calls = []

    def loss(logits, y):
        calls.append(y)
        return functional.cross_entropy(logits, y) * (1.0 if len(calls) < 8 else math.inf)

    kept = []
    with pytest.raises(DivergedError):
        fit(
            network, small(), replace(TRAINING, epochs=9, batch_size=32), loss=loss,
            callbacks=[lambda _: kept.append([p.detach().clone() for p in network.parameters()])],
        )  # fmt: skip
    assert kept
    assert not network.training
    assert any(all(map(torch.equal, network.parameters(), weights)) for weights in kept)


def test_a_split_that_cannot_be_judged_is_refused_before_the_first_epoch():
    data = small()
    train = loader(data.train)
    calls = []

    def loss(logits, labels):
        calls.append(logits)
        return functional.cross_entropy(logits, labels)

    for x, y, message in (
        (torch.zeros(12, 4, 5), torch.zeros(4).long(), "has 5 features, the network 2 inputs"),
        (torch.zeros(12, 4, 2), torch.full((4,), 7), "labels must lie in 0..1"),
        (torch.zeros(12, 4, 2), torch.zeros(4).int(), "expected y as"),
        (torch.zeros(12, 4, 2), torch.full((4,), UNLABELLED), "no answer can be judged"),
    ):
        judged = Split(x, y, torch.full((4,), 12))
        with pytest.raises(InputError, match=message):
            fit(build("LIF", 2, 8, 2), train, validation=judged, loss=loss)
    assert not calls


def test_the_place_of_a_checkpoint_is_looked_at_before_the_first_epoch(tmp_path):
    with pytest.raises(DataError, match="is a folder; a checkpoint is a file"):
        trained("LIF", checkpoint=tmp_path)
    trained("LIF", checkpoint=tmp_path / "run.ckpt")
    assert isinstance(load_network(tmp_path / "run.ckpt").body, SpikingRNN)


def test_many_answers_in_sixteen_bits_have_the_loss_of_thirty_two():
    logits, y = torch.zeros(100_000, 10), torch.zeros(100_000).long()
    for dtype in (torch.float16, torch.bfloat16):
        found = evaluation.cross_entropy(logits.to(dtype), y, "sum")
        assert found.item() == pytest.approx(100_000 * math.log(10), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("setting", ["input_noise", "time_stretch", "channel_shift"])
def test_augmentation_keeps_the_type_of_the_input(setting, dtype):
    training = Training(epochs=1, **{setting: 1 if setting == "channel_shift" else 0.1})
    network = build("LIF", 2, 8, 2).to(dtype)
    assert len(fit(network, small(), training).epochs) == 1
