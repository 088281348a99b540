"""The twins compute what they say, and are chosen without a look at the test split."""

from dataclasses import replace

import pytest
import torch

from spikern._utils.errors import InputError, UnsupportedError
from spikern.data.dataset import UNLABELLED, Dataset, Split
from spikern.interop import onnx
from spikern.interop.onnx import int8_graph, logits_of, onnx_graph
from spikern.layers.network import ANSWERS, build
from spikern.studies import trainings, twins
from spikern.studies.samples import draw_sample
from spikern.studies.trainings import TrainingJob
from spikern.studies.twins import (
    connections,
    density,
    held,
    magnitude_masks,
    measured_graph,
    measured_weights,
    predictions,
    prune,
    search_size,
)
from spikern.train.evaluation import evaluate
from spikern.train.loop import fit
from spikern.train.quantisation import int8_weights, round_rows
from spikern.train.training import Training
from spikern.train.trial import count_split, fresh_network

KINDS = ("RNN", "GRU", "LSTM")
pytestmark = pytest.mark.usefixtures("one_thread")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def split(count, every_step, seed):
    """Which of two features is larger on average: easy, and of different lengths."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(2, (count,), generator=generator)
    lengths = torch.randint(4, 10, (count,), generator=generator)
    lengths[0] = 9
    x = torch.randn(9, count, 2, generator=generator)
    x[:, torch.arange(count), y] += 2.0
    valid = torch.arange(9)[:, None] < lengths
    x = x * valid.unsqueeze(2)
    return Split(x, torch.where(valid, y, UNLABELLED) if every_step else y, lengths)


def dataset(every_step=False):
    parts = [split(count, every_step, seed) for seed, count in enumerate((96, 40, 40))]
    return Dataset("easy", "easy", *parts, ("a", "b"), every_step, False, "made", "none", 1.0)


def fitted(kind, data, epochs):
    """A network of 8 units, trained."""
    network = fresh_network(kind, 8, data, seed=0)
    fit(network, data, Training(epochs=epochs))
    return network.eval()


@pytest.fixture(scope="module")
def trained(one_thread):
    return {
        (kind, every_step): fitted(kind, dataset(every_step), epochs=8)
        for kind, every_step in [*((kind, False) for kind in KINDS), ("LSTM", True), ("GRU", True)]
    }


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_computes_what_torch_does(kind, answer, layers):
    torch.manual_seed(1)
    network = build(kind, 3, 8, 4, answer, layers)
    logits = logits_of(onnx_graph(network))
    for steps, lengths in ((7, [7, 3, 5]), (4, [4])):
        x, lengths = torch.randn(steps, len(lengths), 3), torch.tensor(lengths)
        with torch.no_grad():
            wanted = network(x, lengths=lengths)[0]
        # Sums in another order and another tanh: some units of the last place of values near 1.
        assert torch.allclose(logits(x, lengths), wanted, atol=1e-5, rtol=0)


def test_gates_in_the_wrong_order_are_seen(monkeypatch):
    monkeypatch.setitem(onnx.GATES, "LSTM", (0, 1, 2, 3))
    network = build("LSTM", 3, 8, 4)
    x, lengths = torch.randn(7, 2, 3), torch.tensor([7, 7])
    assert not torch.allclose(logits_of(onnx_graph(network))(x, lengths), network(x)[0], atol=1e-3)


def test_a_spiking_network_has_no_graph():
    with pytest.raises(UnsupportedError, match="RNN, GRU and LSTM"):
        onnx_graph(build("LIF", 3, 8, 4))


@pytest.mark.parametrize("every_step", [False, True])
def test_the_int8_lstm_answers_like_the_float_one(trained, every_step):
    network = trained["LSTM", every_step]
    names = {node.op_type for node in int8_graph(network).graph.node}
    assert {"DynamicQuantizeLSTM", "MatMulInteger"} <= names
    found = measured_graph(network, dataset(every_step).test)
    assert found.float_accuracy == evaluate(network, dataset(every_step).test).accuracy > 0.8
    assert found.agreement > 0.95  # 8 bits of a trained margin; 0.5 is what a broken one would give


@pytest.mark.parametrize("kind", ["GRU", "RNN"])
def test_a_float_recurrence_is_not_called_int8(trained, kind):
    with pytest.raises(UnsupportedError, match=f"does not quantise {kind}.*int8_weights"):
        int8_graph(trained[kind, False])


@pytest.mark.parametrize("key", [("RNN", False), ("GRU", False), ("LSTM", False), ("GRU", True)])
def test_rounded_weights_keep_the_answers(trained, key):
    found = measured_weights(trained[key], dataset(key[1]).test)
    assert found.agreement > 0.95
    assert abs(found.accuracy - found.float_accuracy) <= 1 - found.agreement + 1e-12


def test_rounded_rows_are_at_most_half_a_level_off():
    weight = torch.randn(5, 40)
    scale = weight.abs().amax(1, keepdim=True) / 127
    # Half a level, and what float32 adds when it divides and multiplies by the scale.
    assert ((round_rows(weight) - weight).abs() <= scale * 0.5001).all()
    levels = round_rows(weight) / scale
    assert torch.allclose(levels, levels.round(), atol=1e-3)
    assert int(levels.abs().max().round()) == 127


def test_rounding_leaves_the_network_alone_and_refuses_nan(trained):
    network = trained["GRU", False]
    before = network.body.rnn.weight_hh_l0.clone()
    int8_weights(network)
    assert torch.equal(network.body.rnn.weight_hh_l0, before)
    broken = build("RNN", 2, 4, 2)
    torch.nn.init.constant_(broken.readout.weight, float("nan"))
    with pytest.raises(InputError, match=r"readout\.weight"):
        int8_weights(broken)


def test_predictions_are_those_of_evaluate(trained):
    network, part = trained["GRU", True], dataset(True).test
    found = predictions(lambda x, lengths: network(x, lengths=lengths)[0], part, batch_size=7)
    wanted = evaluate(network, part).predictions
    labelled = part.y >= 0
    assert torch.equal(found[labelled], wanted[labelled])


def test_pruning_keeps_the_density_exactly_while_it_trains(trained):
    network, kept = trained["LSTM", False], 0.25
    before = {name: p.clone() for name, p in network.named_parameters()}
    training = Training(epochs=2, weight_decay=0.1)
    found = prune(network, kept, dataset(), training)
    total = sum(w.numel() for w in connections(network).values())
    assert found.density == round(kept * total) / total
    masks = magnitude_masks(connections(network), kept)
    moved = 0
    for name, weight in connections(found.network).items():
        assert not weight[~masks[name]].any()
        moved += int((weight != before[name])[masks[name]].sum())
    assert moved > 0.9 * kept * total
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters())
    assert found.test_accuracy > 0.7
    assert len(found.history.epochs) == 2


def test_a_mask_that_is_not_held_is_seen(trained):
    """The gate above can fail: without the mask the pruned weights come back."""
    network = fitted("LSTM", dataset(), epochs=1)
    with held(network, magnitude_masks(connections(network), 0.25)):
        pass
    assert density(network) == pytest.approx(0.25, abs=0.01)
    fit(network, dataset(), Training(epochs=1))
    assert density(network) > 0.9


def test_ties_do_not_change_how_many_are_kept():
    masks = magnitude_masks({"a": torch.ones(3, 3), "b": -torch.ones(3, 3)}, 0.5)
    assert sum(int(m.sum()) for m in masks.values()) == 9


@pytest.mark.parametrize("kept", [0.0, -0.1, 1.5, float("nan")])
def test_an_impossible_density_is_refused(kept):
    with pytest.raises(InputError, match="density"):
        magnitude_masks({"a": torch.ones(2, 2)}, kept)


def test_a_spiking_network_is_not_its_own_twin():
    with pytest.raises(InputError, match="spiking"):
        prune(build("LIF", 2, 4, 2), 0.5, dataset(), Training(epochs=1))


@pytest.fixture
def easy(monkeypatch):
    """The data set of the jobs below."""
    trainings.loaded.cache_clear()
    monkeypatch.setattr(trainings.data, "load", lambda name: dataset())
    yield TrainingJob("easy", "GRU", 0, Training(epochs=2))
    trainings.loaded.cache_clear()


def test_a_search_stops_at_the_first_size_that_reaches_the_target(easy, tmp_path, monkeypatch):
    accuracies = {2: 0.75, 4: 0.8, 8: 1.0}

    def validate(job, checkpoint):
        trainings.validate(job, checkpoint)
        return {"validation_accuracy": accuracies[job.hidden_size]}

    monkeypatch.setattr(twins, "validate", validate)
    search = search_size(easy, (2, 4, 8), 0.8, tmp_path)
    assert search.trials == {2: 0.75, 4: 0.8}
    assert search.network.body.hidden_size == 4
    assert search.test_accuracy == evaluate(search.network, dataset().test).accuracy
    unreached = search_size(easy, (2,), 0.8, tmp_path)
    assert unreached[1:] == ({2: 0.75}, None, None)


def test_the_test_split_does_not_choose(easy, tmp_path, monkeypatch):
    """Another test split, the same size."""
    first = search_size(easy, (2, 4, 8), 0.9, tmp_path / "first")
    trainings.loaded.cache_clear()
    other = replace(dataset(), test=split(40, False, seed=9))
    monkeypatch.setattr(trainings.data, "load", lambda name: other)
    assert search_size(easy, (2, 4, 8), 0.9, tmp_path / "second").trials == first.trials


def test_a_finished_training_is_not_done_again(easy, tmp_path, monkeypatch):
    first = search_size(easy, (4,), 0.0, tmp_path)
    monkeypatch.setattr(trainings, "fit", None)
    again = search_size(easy, (4,), 0.0, tmp_path)
    assert again.trials == first.trials
    assert all(map(torch.equal, first.network.parameters(), again.network.parameters()))


@pytest.mark.parametrize(
    ("sizes", "target", "message"),
    [
        ((), 0.5, "must grow"),
        ((4, 2), 0.5, "must grow"),
        ((0, 2), 0.5, "must grow"),
        ((2,), 1.5, "an accuracy in 0..1, got 1.5"),
    ],
)
def test_a_bad_search_is_refused(sizes, target, message, tmp_path):
    with pytest.raises(InputError, match=message):
        search_size(TrainingJob("easy", "RNN", 0, Training()), sizes, target, tmp_path)


def in_halves():
    """Sixteen sequences, and the same cut in two, as `carry_state` reads them; a LIF network."""
    x = 4 * torch.randn(10, 16, 2, generator=torch.Generator().manual_seed(5))
    y = torch.arange(160).view(10, 16) % 2
    whole = Split(x, y, torch.full((16,), 10))
    cut = Split(
        x.reshape(2, 5, 16, 2).permute(1, 2, 0, 3).reshape(5, 32, 2),
        y.reshape(2, 5, 16).permute(1, 2, 0).reshape(5, 32),
        torch.full((32,), 5),
    )
    made = dataset(every_step=True)
    return replace(made, test=whole), replace(made, test=cut), fresh_network("LIF", 8, made, 0)


def test_a_state_that_is_carried_on_is_counted_and_tested_so():
    whole, cut, network = in_halves()
    counts = count_split(network, whole)
    assert count_split(network, cut, carry_state=True).ops == counts.ops
    assert count_split(network, cut).ops != counts.ops
    answers = evaluate(network, whole.test).accuracy
    assert measured_weights(network, cut.test, True).float_accuracy == answers
    assert measured_weights(network, cut.test).float_accuracy != answers
    with pytest.raises(UnsupportedError, match="trained with the state carried on"):
        measured_graph(network, cut.test, True)


def test_a_sample_of_a_stream_starts_where_the_one_before_it_ended():
    whole, cut, network = in_halves()
    sample, later = draw_sample("LIF", network, whole, 1), draw_sample("LIF", network, cut, 3, True)
    assert (later.hidden[0] == sample.hidden[0][5:]).all()
    assert (later.readout == sample.readout[5:]).all()
    assert (draw_sample("LIF", network, cut, 3).readout != sample.readout[5:]).any()
