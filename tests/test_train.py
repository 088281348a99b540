"""Training learns, repeats itself, survives being killed, and stops when it diverges."""

import statistics
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from spikern._utils.errors import DataError, DivergedError, InputError
from spikern.data import load
from spikern.data.dataset import Dataset, Split
from spikern.layers.baseline import BASELINES
from spikern.layers.network import build
from spikern.train.loop import Training, evaluate, fit
from spikern.train.recipes import recipe
from spikern.train.trial import fresh_network

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
        trained(model, checkpoint=path, report=kill)
    resumed, history = trained(model, checkpoint=path)
    assert history.epochs[:stop_after] == seen  # with their seconds: these were not trained again
    unbroken, whole = trained(model)
    assert same(resumed, unbroken)
    assert without_time(history) == without_time(whole)


@pytest.mark.slow
def test_killed_process_resumes_bit_for_bit(tmp_path):
    """SIGKILL at an arbitrary moment, as the command line runs it."""
    command = [
        sys.executable, "-m", "spikern.cli", "compare", "digits", "--models", "ALIF",
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


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    trained("LIF", checkpoint=path)
    with pytest.raises(DataError, match="belongs to a run with seed 0, this one has 1"):
        trained("LIF", checkpoint=path, seed=1)


def test_a_corrupt_checkpoint_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    path.write_bytes(b"half a file")
    with pytest.raises(DataError, match="delete it to start anew"):
        trained("LIF", checkpoint=path)


def test_divergence_stops_with_advice():
    torch.manual_seed(0)
    network = build("RNN", 2, 12, 2)
    with torch.no_grad():
        network.readout.weight.fill_(float("inf"))
    with pytest.raises(DivergedError, match="lower the learning rate"):
        fit(network, small(), TRAINING)


def test_the_rate_penalty_lowers_the_rate():
    rates = []
    for penalty in (0.0, 1000.0):
        training = replace(TRAINING, epochs=8, rate=0.3, rate_limit=0.02, rate_penalty=penalty)
        _, history = trained("LIF", training)
        rates.append(history.epochs[-1].rate)
    assert rates[1] < 0.9 * rates[0]


def test_extreme_rates_are_warned_of():
    torch.manual_seed(0)
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
