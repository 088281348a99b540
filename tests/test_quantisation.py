"""Training with weights in int8: what is computed, what is kept, and what it is good for."""

from dataclasses import replace

import pytest
import torch
from test_train import TRAINING, same, small
from torch.nn.utils import parametrizations, prune

from spikern._utils.errors import InputError
from spikern.data import load
from spikern.layers.network import build
from spikern.train import checkpoint, quantisation
from spikern.train.evaluation import evaluate
from spikern.train.loop import fit
from spikern.train.quantisation import int8_weights, round_rows, rounded_weights
from spikern.train.training import Training

pytestmark = pytest.mark.usefixtures("one_thread")
INT8 = replace(TRAINING, weights="int8")
MODELS = pytest.mark.parametrize("model", ["ALIF", "GRU"])


def network(model):
    torch.manual_seed(0)
    return build(model, 2, 8, 2)


@MODELS
def test_what_a_training_leaves_is_its_own_int8_copy(model, tmp_path):
    own, data = network(model), small()
    fit(own, data, INT8, checkpoint=tmp_path / "c.safetensors")
    before = evaluate(own, data.test)
    assert torch.equal(evaluate(int8_weights(own), data.test).predictions, before.predictions)
    for name, weight in own.named_parameters():
        if "weight" in name:
            # the scale is computed again from its multiple, which float32 rounds
            torch.testing.assert_close(round_rows(weight), weight, rtol=1e-6, atol=0)


@MODELS
def test_a_gradient_at_rounded_weights_moves_the_weights_themselves(model):
    own, data = network(model), small(count=32)
    twin = int8_weights(own)
    labels = data.train.y
    torch.nn.functional.cross_entropy(twin(data.train.x)[0], labels).backward()
    wanted = {
        name: torch.add(p.detach(), q.grad, alpha=-0.1)
        for (name, p), q in zip(own.named_parameters(), twin.parameters())
    }
    optimizer = torch.optim.SGD(own.parameters(), lr=0.1)
    with rounded_weights(own):
        torch.nn.functional.cross_entropy(own(data.train.x)[0], labels).backward()
    optimizer.step()
    for name, parameter in own.named_parameters():
        assert torch.equal(parameter, wanted[name]), name


@MODELS
def test_a_training_in_int8_is_resumed_bit_for_bit(model, tmp_path):
    results = []
    for ends in ((3,), (1, 3)):  # at once, and in two runs
        for end in ends:
            own = network(model)
            stop = [lambda epoch, end=end: epoch.epoch == end]
            fit(own, small(), INT8, 0, tmp_path / f"{ends}.safetensors", callbacks=stop)
        results.append(own)
    assert same(*results)


def test_training_in_three_levels_is_better_than_rounding_to_them(monkeypatch):
    monkeypatch.setattr(quantisation, "LEVELS", 1)  # weights of -s, 0 and s
    data, accuracies = load("digits").thinned(400), []
    for weights in ("float32", "int8"):
        torch.manual_seed(0)
        own = build("LSTM", 1, 24, 10)
        fit(own, data, Training(epochs=12, weights=weights))
        accuracies.append(evaluate(int8_weights(own), data.validation).accuracy)
    rounded, trained = accuracies
    assert trained > rounded + 0.1


def test_what_is_no_number_is_not_rounded_to_zero():
    for broken in (float("nan"), float("inf")):
        assert not round_rows(torch.tensor([[broken, 1.0]])).isfinite().any()


def test_other_numbers_are_refused():
    with pytest.raises(InputError, match="weights"):
        Training(weights="int4")


def test_a_checkpoint_without_later_settings_is_resumed(tmp_path):
    path = tmp_path / "c.safetensors"
    own = network("ALIF")
    fit(own, small(), replace(TRAINING, epochs=1), checkpoint=path)
    tensors, header = checkpoint.read(path)
    del header["training"]["weights"]
    checkpoint.write(path, tensors, header)
    again = network("ALIF")
    fit(again, small(), replace(TRAINING, epochs=1), checkpoint=path)
    assert same(again, own)


def test_weights_that_are_derived_from_others_are_not_rounded():
    made = network("LIF")
    prune.l1_unstructured(made.body, "weight_hh_l0", 0.5)
    with pytest.raises(InputError, match=r"call prune\.remove"):
        int8_weights(made)


def test_weights_of_a_parametrization_are_not_trained_in_int8():
    made = network("LIF")
    parametrizations.orthogonal(made.body, "weight_hh_l0")
    with pytest.raises(InputError, match="remove_parametrizations"):
        int8_weights(made)
    with pytest.raises(InputError, match="remove_parametrizations"), rounded_weights(made):
        pass
