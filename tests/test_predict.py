"""Raw readings in, names out: by a network, by its stream, and on the command line."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from spikern import (
    DataError,
    InputError,
    Training,
    build,
    compile_stream,
    evaluate,
    fit,
    load,
    load_network,
    load_stream,
)
from spikern.__main__ import main
from spikern.data import Task, Transform, encoded, splits
from spikern.data.own import samples

OLD = Path(__file__).parent / "data" / "v0.1.0"


@pytest.fixture(scope="module")
def pixels():
    """The raw test images of the digits, counts of 0..16, and their labels."""
    images, labels = load_digits(return_X_y=True)
    test = splits.stratified(labels, (0.7, 0.1, 0.2), 0)[2]
    return images[test], labels[test]


@pytest.mark.parametrize("answer", ["last", "mean"])
@pytest.mark.parametrize("encode", [lambda data: data, lambda data: encoded(data, 0.25)])
def test_raw_samples_give_the_answers_of_the_split(encode, answer, tmp_path, pixels):
    data = encode(load("digits"))
    path = tmp_path / "x.safetensors"
    network = build("LIF", 1, 8, 10, answer, dt=data.dt)
    fit(network, data, Training(epochs=1, batch_size=256), checkpoint=path)
    network = load_network(path).train()
    prediction = network.predict(list(pixels[0]))
    assert network.training
    expected = evaluate(network, data.test).predictions.tolist()
    assert [data.class_names.index(name) for name in prediction.names] == expected
    compile_stream(network).save(tmp_path / "stream")
    stream = load_stream(tmp_path / "stream")
    assert stream.task == network.task == data.task
    for image, name, logits in zip(pixels[0][:3], prediction.names, prediction.logits):
        whole, state = stream.predict(image[:10])
        for reading in image[10:]:
            whole, state = stream.predict([reading], state)
        assert whole.names == name
        assert np.allclose(whole.logits, logits, atol=1e-6)  # a mean is summed in another order


def every_step():
    network = build("LIF", 2, 6, 2, "every_step")
    network.task = Task("mine", ("up", "down"), 1.0, False, 2, ())
    return network


def test_answers_at_every_step_end_with_the_sequence():
    x = np.random.default_rng(0).normal(size=(9, 2))
    prediction = every_step().predict([x, x[:4]])
    assert prediction.names.shape == (9, 2)
    assert (prediction.names[:4] != "").all()
    assert (prediction.names[4:, 1] == "").all()
    assert (prediction.probabilities.sum(2) > 0.99).sum() == 13


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "at least one sample"),
        ([np.zeros((3, 2)), np.zeros((3, 1))], r"sample 1: expected readings \(T, 2\), got \(3, 1"),
        (np.zeros((0, 2)), r"got \(0, 2\)"),
        (np.array([[0.0, np.nan]]), r"nan at \[0, 1\]"),
        ("text", "expected numbers"),
        (None, "expected one sample .* got NoneType"),
        (7, "expected one sample .* got int"),
        (np.zeros((2, 3, 2)), r"got an array \(2, 3, 2\); give list\(x\) where its first axis"),
        (torch.zeros(2, 3, 2), r"got an array \(2, 3, 2\); give list\(x\) where its first axis"),
        (1j * np.zeros((3, 2)), "expected numbers"),
        (np.zeros((3, 2), "datetime64[s]"), "expected numbers"),
    ],
)
def test_wrong_samples_are_errors(given, message):
    with pytest.raises(InputError, match=message):
        every_step().predict(given)


@pytest.mark.parametrize("made", [1j * np.ones((3, 2)), np.array([["a", "b"]])])
def test_a_file_of_something_else_than_numbers_is_refused(made, tmp_path):
    np.save(tmp_path / "odd.npy", made)
    with pytest.raises(DataError, match=r"odd\.npy: expected numbers .* got (complex128|<U1)"):
        samples(tmp_path / "odd.npy", every_step().task)


def test_what_needs_all_of_a_sequence_names_itself():
    network = build("LIF", 1, 6, 2)
    permuted = (Transform("permute", {"order": [2, 0, 1]}),)
    network.task = Task("mine", ("up", "down"), 1.0, False, 1, permuted)
    stream = compile_stream(network)
    answer, state = stream.predict([1, 2, 3])
    assert answer.names == network.predict([np.array([1, 2, 3])]).names[0]
    with pytest.raises(InputError, match="permute needs all of a sequence at once"):
        stream.predict([1, 2, 3], state)


def test_a_network_without_a_task_says_how_to_get_one():
    for empty in (build("LIF", 1, 6, 2), compile_stream(build("LIF", 1, 6, 2))):
        with pytest.raises(InputError, match="train it with `fit`"):
            empty.predict(np.zeros(3))
    with pytest.raises(InputError, match="files of earlier versions hold none"):
        load_stream(OLD / "ALIF.stream").predict(np.zeros(3))
    assert load_network(OLD, "ALIF").task == load("digits").task


def test_an_input_that_a_function_changed_has_no_task():
    assert load("digits").with_input(lambda x: 2 * x).task is None


def test_the_command_gives_the_accuracy_of_the_comparison(tmp_path, capsys, pixels):
    run = tmp_path / "run"
    settings = ["--models", "LIF", "--seeds", "1", "--epochs", "1", "--hidden", "4"]
    main(["compare", "digits", *settings, "--workers", "1", "--out", str(run)])
    np.savez(tmp_path / "test.npz", x=pixels[0], y=pixels[1])
    capsys.readouterr()
    main(["predict", str(run), "LIF", str(tmp_path / "test.npz"), "--json"])
    found = json.loads(capsys.readouterr().out)
    model = json.loads((run / "results.json").read_text())["models"][0]
    assert found["accuracy"] == model["test_accuracy"]["mean"]
    main(["predict", str(run), str(tmp_path / "test.npz")])
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 359
    assert f"Accuracy on the labels of {tmp_path / 'test.npz'}" in printed.err
    np.savez(tmp_path / "fast.npz", x=pixels[0], dt=1)
    with pytest.raises(SystemExit):
        main(["predict", str(run), str(tmp_path / "fast.npz")])
    assert "its steps last 1 ms, those of the network 4 ms; resample it" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["predict", str(run), str(tmp_path)])
    assert "trained on digits, not on sound" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("divide", {"by": 0}, "divide: by must be a finite number other than 0, got 0"),
        ("divide", {"by": math.nan}, "other than 0, got nan"),
        ("divide", {"by": "x"}, "other than 0, got 'x'"),
        ("delta", {"threshold": -1}, "threshold must be above 0 and finite, got -1"),
        ("standardise", {"mean": [0.0, 1.0], "deviation": [1.0, 0.0]}, "no deviation of 0"),
        ("standardise", {"mean": [0.0], "deviation": [math.nan]}, "as many finite means"),
        ("standardise", {"mean": [0.0, 1.0], "deviation": [1.0]}, "as many finite means"),
        ("standardise", {"mean": [], "deviation": []}, "as many finite means"),
        ("permute", {"order": [0, 0]}, "order must name every step from 0 on once"),
        ("permute", {"order": [1, 2]}, "order must name every step from 0 on once"),
        ("characters", {"alphabet": "aba"}, "a letter is twice in the alphabet 'aba'"),
        ("divide", {"by": 2, "of": 1}, "divide: got an unexpected keyword argument 'of'"),
    ],
)
def test_a_transform_without_sense_is_refused(name, parameters, message):
    with pytest.raises(InputError, match=message):
        Transform(name, parameters)


def test_bfloat16_answers():
    """numpy has no such type."""
    data = load("digits").thinned(20)
    network = build("LIF", 1, 4, 10)
    network.task = data.task
    raw = np.random.default_rng(0).random((64, 1))
    found = network.bfloat16().predict([raw]).logits
    with torch.no_grad():
        x = torch.tensor(data.task.prepare(raw)[0]).unsqueeze(1)
        expected, _ = network(x.bfloat16())
    assert found.dtype == np.float32
    assert np.array_equal(found, expected.float().numpy())


def test_a_mean_over_many_steps_does_not_drift():
    network = build("LIF", 1, 4, 2, "mean")
    with torch.no_grad():
        for value in network.parameters():
            value.zero_()
        network.readout.bias_l0.copy_(torch.tensor([0.1, 0.2]))
    network.task = Task("constant", ("a", "b"), 1.0, False, 1)
    stream, state = compile_stream(network), None
    prediction, state = stream.predict(np.zeros((2_000_000, 1), np.float32), state)
    np.testing.assert_allclose(prediction.logits, [0.1, 0.2], rtol=1e-4)  # in float32 1.5 % less


def test_a_tensor_with_a_gradient_is_no_reading():
    network = build("LIF", 1, 4, 2)
    network.task = Task("constant", ("a", "b"), 1.0, False, 1)
    with pytest.raises(InputError, match="expected numbers"):
        network.predict(torch.zeros(5, 1, requires_grad=True))
