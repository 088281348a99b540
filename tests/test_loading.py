"""A trained network comes back from its checkpoint alone, whatever it is made of."""

import copy
import io
import pickle
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.nn import functional
from tqdm import tqdm

from spikern import (
    LIF,
    Network,
    Readout,
    SpikingRNN,
    Training,
    build,
    compile_stream,
    fit,
    load,
    load_network,
    load_stream,
)
from spikern._utils import json_file
from spikern._utils.errors import DataError, InputError
from spikern.layers.description import describe, rebuild
from spikern.neurons import BRF
from spikern.neurons.constants import real
from spikern.neurons.surrogate import triangular
from spikern.studies import TrainingJob, key, progress
from spikern.studies.jobs import files
from spikern.studies.trainings import validate
from spikern.train import checkpoint

MASK = (torch.arange(36).view(6, 6) % 3 == 0).float()
NETWORKS = {
    "spiking": lambda: build("BRF", 2, 6, 3, "mean", dt=2.0, surrogate="fast_sigmoid"),
    "standard": lambda: build("LSTM", 2, 6, 3, num_layers=2),
    "two layers": lambda: build("ALIF", 2, 6, 3, num_layers=2, dropout=0.3, skip=True),
    "feedback": lambda: build("LIF", 2, 6, 3, num_layers=2, feedback=0.5, recurrent=0.3),
    "both directions": lambda: build("LIF", 2, 6, 3, bidirectional=True),
    "one to one": lambda: build("LIF", 2, 6, 3, recurrent="diagonal"),
    "no recurrence": lambda: build("LIF", 2, 6, 3, recurrent=False),
    "layers that differ": lambda: build(
        ["ALIF", "LIF", "LIF"],
        2,
        [6, 4, 3],
        3,
        surrogate=["arctan", "boxcar", "boxcar"],
        recurrent=[0.3, False, torch.eye(3)],
        skip=True,
    ),
    "feedback of widths": lambda: build("LIF", 2, [7, 6, 4], 3, feedback=0.3, recurrent=0.3),
    "delays": lambda: build("LIF", 2, 6, 3, delay=3, recurrent_delay=2),
    "learned delays": lambda: build("LIF", 2, 6, 3, delay=3, learn_delays=True),
    "mask": lambda: Network(SpikingRNN("LIF", 2, 6, recurrent=MASK), Readout(6, 3), "last"),
    "full mask": lambda: Network(
        SpikingRNN("LIF", 2, 6, recurrent=torch.ones(6, 6)), Readout(6, 3), "last"
    ),
    "linear readout": lambda: Network(SpikingRNN("LIF", 2, 6), torch.nn.Linear(6, 3), "mean"),
    "fixed constants": lambda: Network(
        SpikingRNN(LIF.frozen(), 2, 6, bias=False), Readout(6, 3, dt=0.5), "every_step"
    ),
}


@pytest.mark.usefixtures("plain_python")
@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.filterwarnings("ignore:dropout")
def test_a_network_is_rebuilt_from_its_description(kind):
    network = NETWORKS[kind]().eval()
    state = torch.get_rng_state()
    again = rebuild(describe(network), network.state_dict()).eval()
    assert torch.equal(torch.get_rng_state(), state)
    assert describe(again) == describe(network)
    x, lengths = 4 * torch.randn(15, 4, 2), torch.tensor([15, 9, 3, 15])
    with torch.no_grad():
        logits = network(x, lengths=lengths)[0]
        assert torch.equal(again(x, lengths=lengths)[0], logits)
    assert logits.count_nonzero() > 0


def test_a_neuron_of_ones_own_is_asked_for_and_passed():
    mine = replace(LIF, name="Mine")
    network = Network(SpikingRNN(mine, 2, 6), Readout(6, 3), "last")
    with pytest.raises(InputError, match=r"needs the neuron Mine; pass it: neurons=\[Mine\]"):
        rebuild(describe(network), network.state_dict())
    again = rebuild(describe(network), network.state_dict(), [mine])
    assert again.body.neuron == mine


@pytest.mark.parametrize(
    "neuron",
    [
        LIF.frozen(),
        LIF.with_constants(tau_mem=[5.0, 6.0, 7.0, 8.0]),
        BRF.with_constant("omega", span=(0.15, 0.5)),
        replace(LIF, constants={**LIF.constants, "v_th": real("v_th", 1.0)}),
    ],
    ids=["frozen", "one per neuron", "span", "other kind"],
)
def test_a_network_has_the_constants_of_its_neurons_again(neuron, tmp_path):
    network, path = build(neuron, 1, 4, 10), tmp_path / "x.safetensors"
    fit(network, load("digits").thinned(20), Training(epochs=1), checkpoint=path)
    again = load_network(path)
    assert again.body.neuron == neuron
    names = [[name for name, _ in n.named_parameters()] for n in (network, again)]
    assert names[0] == names[1]
    x = torch.rand(5, 3, 1)
    assert torch.equal(network.eval()(x)[0], again(x)[0])


def test_a_checkpoint_without_constants_is_resumed_and_loaded(tmp_path):
    """As earlier versions wrote it."""
    data, path = load("digits").thinned(20), tmp_path / "x.safetensors"
    fit(build("LIF", 1, 8, 10), data, Training(epochs=1), checkpoint=path)
    tensors, header = checkpoint.read(path)
    for part in ("body", "readout"):
        del header["network"][part]["constants"]
    checkpoint.write(path, tensors, header)
    assert load_network(path).body.neuron == LIF
    fit(build("LIF", 1, 8, 10), data, Training(epochs=1), checkpoint=path)
    with pytest.raises(DataError, match=r"network\.body\.dt is 1\.0 there and 2\.0 here"):
        fit(build("LIF", 1, 8, 10, dt=2.0), data, Training(epochs=1), checkpoint=path)


def test_a_checkpoint_alone_gives_the_weights_of_the_best_epoch(tmp_path):
    data = load("digits").thinned(60)
    network = build("ALIF", 1, 8, 10, dt=data.dt)
    path = tmp_path / "alone.safetensors"
    fit(network, data, Training(epochs=2, batch_size=30), checkpoint=path)
    again = load_network(path)
    assert not again.training
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": lambda: build("LIF", 1, 8, 10, dt=2.0)}, "body.dt is 1.0 there and 2.0 here"),
        ({"network": lambda: build("LIF", 1, 8, 10, "mean")}, "answer is last there and mean here"),
        (
            {"network": lambda: build("LIF", 1, 8, 10, surrogate="boxcar")},
            r"surrogate is \['triangular', 1.0, 0.7\] there",
        ),
        ({"data": lambda: load("digits").thinned(21)}, "data is [0-9a-f]{16} there and"),
        ({"training": Training(epochs=1, clip=2.0)}, "training.clip is 1.0 there and 2.0 here"),
        ({"seed": 1}, "seed is 0 there and 1 here"),
        (
            {"network": lambda: build(LIF.with_constants(v_th=3.0), 1, 8, 10)},
            "body.constants.v_th.mean is 1.0 there and 3.0 here",
        ),
        (
            {"network": lambda: build(LIF.frozen(), 1, 8, 10)},
            "body.constants.alpha_mem.trainable is None there and False here",
        ),
    ],
)
def test_a_checkpoint_of_another_run_is_not_resumed(change, message, tmp_path):
    run = {
        "network": lambda: build("LIF", 1, 8, 10),
        "data": lambda: load("digits").thinned(20),
        "training": Training(epochs=1),
        "seed": 0,
    }

    def train(network, data, training, seed):
        fit(network(), data(), training, seed, tmp_path / "x.safetensors")

    train(**run)
    train(**run)
    with pytest.raises(DataError, match=message):
        train(**run | change)


def test_a_loss_of_other_class_weights_is_not_resumed(tmp_path):
    def train(first):
        weights = torch.ones(10)
        weights[0] = first
        loss = partial(functional.cross_entropy, weight=weights)
        data = load("digits").thinned(20)
        network = build("LIF", 1, 8, 10)
        fit(network, data, Training(epochs=1), checkpoint=tmp_path / "x.safetensors", loss=loss)

    train(1.0)
    train(1.0)
    with pytest.raises(DataError, match=r"loss is .*1\.0.* there and .*9\.0.* here"):
        train(9.0)


def test_progress_is_read_from_the_checkpoints(tmp_path):
    training = Training(epochs=2, batch_size=10)
    jobs = [TrainingJob("digits", "RNN", s, training, hidden_size=4, sequences=10) for s in (0, 1)]
    bar = tqdm(total=4, file=io.StringIO())
    progress.show(bar, jobs, tmp_path, key)
    assert bar.n == 0
    path = files(tmp_path, key(jobs[1])).checkpoint
    validate(jobs[1], path)
    progress.show(bar, jobs, tmp_path, key)
    assert bar.n == 2
    assert "RNN seed 1" in str(bar)
    assert f"loss {checkpoint.read_header(path)['epochs'][-1][1]:.3f}" in str(bar)


def written(kind, folder):
    """A file of a kind, and how it is read."""
    network = build("ALIF", 1, 8, 10, dt=4.0)
    path = folder / kind
    if kind == "stream":
        compile_stream(network).save(path)
        return path, load_stream
    fit(network, load("digits").thinned(20), Training(epochs=1), checkpoint=path)
    return path, checkpoint.read


@pytest.mark.parametrize("kind", ["checkpoint", "stream"])
def test_a_flipped_bit_anywhere_is_noticed(kind, tmp_path):
    path, read = written(kind, tmp_path)
    read(path)
    content = path.read_bytes()
    for at in range(0, len(content), 37):
        path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        with pytest.raises(DataError):
            read(path)


@pytest.mark.parametrize("kind", ["checkpoint", "stream"])
def test_a_file_has_the_permissions_of_any_new_file(kind, tmp_path):
    path, _ = written(kind, tmp_path)
    (tmp_path / "new").touch()
    assert path.stat().st_mode == (tmp_path / "new").stat().st_mode
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def doubled(u):
    """A derivative of one's own, at the top of a module so that it can be pickled."""
    return 2.0 * triangular().derivative(u)


OWN = replace(triangular(), derivative=doubled)
"""With the name and the settings of a built-in."""


def saved_and_loaded(layer):
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer)), saved_and_loaded]
)
def test_a_layer_keeps_a_surrogate_of_ones_own(again):
    layer = SpikingRNN("LIF", 2, 6, surrogate=OWN, engine="reference")
    other = SpikingRNN("LIF", 2, 6, engine="reference")
    other.load_state_dict(layer.state_dict())
    gradients = []
    x = 4 * torch.randn(15, 4, 2)
    for twin in (layer, again(layer), other):
        twin(x)[0].sum().backward()
        gradients.append(twin.weight_ih_l0.grad)
    assert torch.equal(gradients[0], gradients[1])
    assert not torch.equal(gradients[0], gradients[2])  # a state_dict says nothing of surrogates


def test_a_checkpoint_asks_for_a_surrogate_of_ones_own(tmp_path):
    data = load("digits").thinned(20)
    path = tmp_path / "own.safetensors"
    network = build("LIF", 1, 8, 10, surrogate=OWN)
    fit(network, data, Training(epochs=1), checkpoint=path)
    with pytest.raises(InputError, match=r"the surrogate triangular; pass it: surrogates=\[tri"):
        load_network(path)
    assert load_network(path, surrogates=[OWN]).body.surrogate is OWN
    with pytest.raises(DataError, match="surrogate is triangular there"):
        fit(build("LIF", 1, 8, 10), data, Training(epochs=1), checkpoint=path)


def with_nan(tensor):
    return torch.full_like(tensor, torch.nan)


TENSORS = {
    "dropped": lambda name, tensors: tensors.pop(name),
    "with a row more": lambda name, tensors: tensors.update(
        {name: torch.cat([tensors[name].flatten(), torch.zeros(1)])}
    ),
    "with NaN": lambda name, tensors: tensors.update({name: with_nan(tensors[name])}),
    "twice": lambda name, tensors: tensors.update({name + "x": tensors[name]}),
}


@pytest.mark.parametrize("change", TENSORS)
@pytest.mark.parametrize(
    "part", ["best.body.bias_l0", "network.body.bias_l0", "optimizer.1.exp_avg_sq", "optimizer"]
)
def test_a_checkpoint_with_other_numbers_is_neither_resumed_nor_loaded(part, change, tmp_path):
    """Its digest is that of its content, so it is no help."""
    data, path = load("digits").thinned(20), tmp_path / "x.safetensors"

    def train():
        torch.manual_seed(0)
        fit(build("LIF", 1, 8, 10), data, Training(epochs=1), checkpoint=path)

    train()
    tensors, header = checkpoint.read(path)
    names = [name for name in tensors if name.startswith(part)]
    for name in names:
        TENSORS[change](name, tensors)
    checkpoint.write(path, tensors, header)
    where = rf"^{path}: .*{names[0]}.*; delete it to start anew$"
    with pytest.raises(DataError, match=where if len(names) == 1 else "optimizer"):
        train()
    if part.startswith("best"):
        with pytest.raises(DataError, match=r"body\.bias_l0"):
            load_network(path)


HEADERS = [
    ("epochs", None),
    ("epochs", [[1, 2]]),
    ("epochs", "none"),
    ("network", None),
    ("more", 1),
    ("seed", None),
]


@pytest.mark.parametrize(("name", "value"), HEADERS)
def test_a_checkpoint_with_another_header_is_not_resumed(name, value, tmp_path):
    data, path = load("digits").thinned(20), tmp_path / "x.safetensors"
    fit(build("LIF", 1, 8, 10), data, Training(epochs=1), checkpoint=path)
    tensors, header = checkpoint.read(path)
    changed = {key: entry for key, entry in header.items() if key != name}
    checkpoint.write(path, tensors, changed | ({} if value is None else {name: value}))
    with pytest.raises(DataError, match=f"{name}|epochs"):
        fit(build("LIF", 1, 8, 10), data, Training(epochs=1), checkpoint=path)


BODIES = [
    *(("hidden_size", size) for size in (10**9, 10**5, 9, 8.5, "8", None, [])),
    *(("num_layers", layers) for layers in (10**9, 2, "1")),
    *(("input_size", 10**12), ("neuron", {}), ("recurrent", 12), ("recurrent", [])),
    *(("surrogate", ["boxcar", "wide"]), ("surrogate", []), ("surrogate", 3), ("more", 1)),
    *(("dt", "1"), ("delay", 10**9), ("engine", 3), ("feedback", 0.3)),
]


@pytest.mark.parametrize(("name", "value"), BODIES)
def test_a_description_that_does_not_fit_its_numbers_is_refused(name, value):
    """And before it costs memory: most of these ask for more than there is."""
    network = build("LIF", 2, 8, 3)
    description = json_file.parse(json_file.canonical(describe(network)), dict)
    rebuild(description, network.state_dict())
    description["body"][name] = value
    with pytest.raises((DataError, InputError)):
        rebuild(description, network.state_dict())


@pytest.mark.parametrize("description", [{}, {"body": []}, {"body": {}, "readout": 3}, {"body": 1}])
def test_what_describes_no_network_is_refused(description):
    with pytest.raises(DataError, match="does not describe a network"):
        rebuild(description, {})


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        ("one to one", "body.synapses_hh_l0", lambda synapses: synapses + 1),
        ("one to one", "body.synapses_hh_l0", lambda synapses: synapses - 1),
        ("one to one", "body.synapses_hh_l0", lambda synapses: synapses.flip(0)),
        ("delays", "body.delay_ih_l0.steps", lambda steps: steps + 2**40),
        ("delays", "body.delay_hh_l0.steps", lambda steps: steps - 3),
    ],
)
def test_synapses_and_delays_that_no_network_has_are_refused(kind, name, change):
    network = NETWORKS[kind]()
    state = network.state_dict()
    with pytest.raises(DataError, match=f"{name} is not within"):
        rebuild(describe(network), state | {name: change(state[name])})


def test_a_network_of_double_precision_is_one_again(tmp_path):
    path, x = tmp_path / "double.safetensors", torch.rand(5, 3, 1, dtype=torch.float64)
    network = build("LIF", 1, 8, 10).double()
    batches = [(torch.rand(5, 4, 1, dtype=torch.float64), torch.tensor([0, 1, 2, 3]))]
    fit(network, batches, Training(epochs=1), checkpoint=path, validation=batches)
    assert torch.equal(load_network(path)(x)[0], network(x)[0])
    mixed = network.state_dict()
    mixed["readout.bias_l0"] = mixed["readout.bias_l0"].float()
    with pytest.raises(DataError, match=r"one type, got torch\.float32, torch\.float64"):
        rebuild(describe(network), mixed)


@pytest.mark.parametrize("asked", [{"model": "GRU"}, {"model": "LIF"}, {"seed": 0}])
def test_a_checkpoint_is_one_network(asked, tmp_path):
    path = tmp_path / "LIF-0.safetensors"
    fit(build("LIF", 1, 4, 10), load("digits").thinned(20), Training(epochs=1), checkpoint=path)
    with pytest.raises(InputError, match=f"is one network, got {next(iter(asked))}"):
        load_network(path, **asked)
