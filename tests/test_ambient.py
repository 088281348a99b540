"""What surrounds a call: torch's modes, transforms, hooks, parametrizations, processes, dtypes."""

import copy
import io
import math

import numpy as np
import pytest
import torch
from engine_cases import (
    assert_close_by_name,
    dyadic_layer,
    events,
    gradients,
    with_engine,
)
from torch import nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, jacfwd, jacrev, jvp, stack_module_state, vmap
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from spikern._utils.errors import InputError, UnsupportedError
from spikern.cost.counting import count
from spikern.data import load
from spikern.data.dataset import Dataset, Split
from spikern.engines import derivation
from spikern.events.trains import Events
from spikern.layers.baseline import BASELINES, Baseline
from spikern.layers.network import build
from spikern.layers.recording import record
from spikern.layers.rnn import SpikingRNN
from spikern.layers.streaming import compile_stream
from spikern.neurons.lif import LIF
from spikern.testing import check_neuron
from spikern.train.calibration import calibrate
from spikern.train.evaluation import evaluate
from spikern.train.loop import fit
from spikern.train.training import Training
from spikern.train.trial import fresh_network

ENGINES = pytest.mark.parametrize("engine", ["fused", "reference"])
JVP = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own
X = events(20, 4, 6)
LENGTHS = [20, 3, 5, 1]
TOPOLOGIES = [
    *({"recurrent": 0.03}, {"feedback": True}, {"delay": 3, "learn_delays": True}),
    *({"recurrent_delay": 3}, {"skip": True}, {"bidirectional": True}),
]


def stack(engine, **settings):
    return dyadic_layer("ALIF", 6, 17, 2, engine=engine, **settings)


def grads(layer, out):
    return dict(
        zip(dict(layer.named_parameters()), torch.autograd.grad(out.sum(), [*layer.parameters()]))
    )


def assert_equal_by_name(actual, expected):
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[name], value) for name, value in expected.items())


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@ENGINES
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_nothing(engine, dtype):
    network = build("ALIF", 6, 30, 3, num_layers=2, engine=engine)
    assert network.body.engine == network.readout.engine == engine
    x = torch.randn(20, 4, 6).to(dtype)  # what a layer below gives under autocast
    expected, _ = network(x.float())
    with torch.autocast("cpu", dtype):
        out, _ = network(x)
        standard, _ = Baseline("GRU", 6, 5)(x)
    assert torch.equal(out, expected)
    assert standard.isfinite().all()
    assert_equal_by_name(grads(network, out), grads(network, expected))


@ENGINES
@pytest.mark.parametrize("settings", [{}, *TOPOLOGIES])
def test_a_layer_of_float32_runs_beside_the_default_dtype_float64(engine, settings, double):
    layer = SpikingRNN("ALIF", 6, 17, 2, engine=engine, dtype=torch.float32, **settings)
    actual, out, _ = gradients(layer, X, torch.tensor(LENGTHS))
    listed, _ = layer(Events.from_dense(X), None, LENGTHS)
    torch.set_default_dtype(torch.float32)
    expected, reference, _ = gradients(layer, X, torch.tensor(LENGTHS))
    assert out.dtype == torch.float32
    assert torch.equal(out, reference)
    assert torch.equal(listed, reference)
    # gradients() draws other weights of the loss with another default dtype
    assert all(value.dtype == expected[name].dtype for name, value in actual.items())


def test_the_default_dtype_float64_makes_networks_that_train_count_and_stream(double):
    y = torch.arange(40) % 2
    x = torch.rand(8, 40, 6, dtype=torch.float32) * y.unsqueeze(1)
    split = Split(x, y, torch.full((40,), 8))
    about = {"name": "made", "title": "Made", "source": "made", "licence": "none"}
    kind = {"class_names": ("a", "b"), "every_step": False, "events": False, "dt": 1.0}
    data = Dataset(train=split, validation=split, test=split, **about, **kind)
    network = build("LIF", 6, 12, 2)
    assert network.body.engine == "reference"
    assert network(Events.from_dense(x))[0].dtype == torch.float64
    training = Training(epochs=40, learning_rate=3e-2)
    with pytest.raises(InputError, match=r"dtype torch.float64 like the weights.*layer\.to"):
        network(x)
    fit(copy.deepcopy(network), data, Training(epochs=1))
    network.float()
    assert network.body.engine == "fused"
    fit(network, data, training)
    assert evaluate(network, split).accuracy > 0.9
    out, counts = compile_stream(network).run(x.numpy()).out, count(network, x)
    torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(out, compile_stream(network).run(x.numpy()).out)
    assert counts == count(network, x)


@ENGINES
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing(engine, reentrant):
    layer = stack(engine)
    expected = grads(layer, layer(X)[0])
    x = X.clone().requires_grad_()
    checkpoint(lambda x: layer(x, None, LENGTHS)[0], x, use_reentrant=reentrant).sum().backward()
    cut = {name: value.grad for name, value in layer.named_parameters()}
    assert_equal_by_name(cut, grads(layer, layer(X, None, LENGTHS)[0]))
    assert not torch.equal(cut["bias_l0"], expected["bias_l0"])


@ENGINES
def test_hooks_of_saved_tensors(engine):
    layer = stack(engine)
    expected = grads(layer, layer(X)[0])
    with torch.autograd.graph.save_on_cpu():
        out, _ = layer(X)
    again = torch.autograd.grad(out.sum(), [*layer.parameters()], retain_graph=True)
    assert_equal_by_name(grads(layer, out), expected)
    assert_equal_by_name(dict(zip(expected, again)), expected)


@JVP
@ENGINES
def test_reverse_transforms_of_torch_func(engine, monkeypatch):
    """Values and gradients are those of plain autograd, one model and one sample at a time."""
    layers = [stack(engine) for _ in range(3)]
    for k, layer in enumerate(layers):
        with torch.no_grad():
            layer.weight_ih_l0.mul_(k + 1)
    layer, x = layers[0], [X[:, b] for b in range(4)]
    plain = {name: value.detach() for name, value in layer.named_parameters()}

    def loss(weights, x):
        return functional_call(layer, weights, (x,))[0].sum()

    monkeypatch.setattr(derivation, "_sources", {})  # kernels are derived inside of the transform
    assert_equal_by_name(grad(loss)(plain, X), grads(layer, layer(X)[0]))
    per_sample = vmap(grad(loss), (None, 1))(plain, X)
    for b, own in enumerate(x):
        expected = grads(layer, layer(own)[0])
        assert_close_by_name({k: v[b] for k, v in per_sample.items()}, expected)
    assert torch.equal(vmap(lambda x: layer(x)[0], 1, 1)(X), layer(X)[0])
    outs = vmap(lambda w, b: functional_call(layer, (w, b), (X,))[0])(*stack_module_state(layers))
    assert torch.equal(outs, torch.stack([each(X)[0] for each in layers]))

    def rates(bias):
        return functional_call(layer, {"bias_l0": bias}, (X,))[0].sum((0, 1))

    bias = plain["bias_l0"]
    expected = torch.autograd.functional.jacobian(rates, bias)
    assert expected.any()
    torch.testing.assert_close(jacrev(rates)(bias), expected)
    slow = with_engine(layer, "reference")
    forward = jacfwd(lambda b: functional_call(slow, {"bias_l0": b}, (X,))[0].sum((0, 1)))(bias)
    torch.testing.assert_close(forward, expected)  # sums of float32 in another order


@JVP
def test_forward_mode_and_second_derivatives_are_the_references_alone():
    layer, tangent = stack("reference"), torch.randn_like(X)
    layer = layer.double()
    x, t = X.double(), tangent.double()
    out, forward = jvp(lambda x: layer(x)[0], (x,), (t,))
    weights = torch.randn_like(out)
    (backward,) = torch.autograd.grad((layer(x.requires_grad_())[0] * weights).sum(), x)
    torch.testing.assert_close((forward * weights).sum(), (backward * t).sum())
    with forward_ad.dual_level():
        dual = layer(forward_ad.make_dual(x.detach(), t))[0]
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, forward)

    def slope(layer, out):
        return torch.autograd.grad(out.sum(), layer.bias_l0, create_graph=True)[0].square().sum()

    assert torch.autograd.grad(slope(layer, layer(x)[0]), layer.bias_l0)[0].any()
    fast = stack("fused")
    with pytest.raises(UnsupportedError, match="reverse mode only; use engine='reference'"):
        jvp(lambda x: fast(x)[0], (X,), (tangent,))
    with forward_ad.dual_level(), torch.no_grad(), pytest.raises(UnsupportedError):
        fast(forward_ad.make_dual(X, tangent))
    with pytest.raises(UnsupportedError, match="first derivatives only; use engine='reference'"):
        slope(fast, fast(X)[0]).backward()

    def square(x):
        return grad(lambda x: fast(x)[0].sum())(x).square().sum()

    with pytest.raises(UnsupportedError, match="first derivatives only"):
        grad(square)(X)


class Logits(nn.Module):
    """A network without its state, whose type torch.export.save does not know."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x)[0]


@pytest.mark.slow  # torch.export imports for seconds
def test_a_network_of_the_reference_engine_is_exported():
    network = Logits(build("ALIF", 6, 17, 3, num_layers=2, engine="reference"))
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(network, (X[:3],)), buffer)
    buffer.seek(0)
    assert torch.equal(torch.export.load(buffer).module()(X[:3]), network(X[:3]))
    torch.export.export(network.network.body, (X[:2],))
    with pytest.raises(UnsupportedError, match=r"exported or traced.*use engine='reference'"):
        torch.export.export(stack("fused"), (X,))


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_fused_layer_is_not_traced():
    with pytest.raises(UnsupportedError, match=r"exported or traced.*use engine='reference'"):
        torch.jit.trace(stack("fused"), (X,))


@ENGINES
def test_weights_that_are_computed_are_those_of_now(engine):
    """Pruned, with weight_norm or spectral_norm, in training, streamed and counted."""
    network = build("ALIF", 6, 17, 3, num_layers=2, engine=engine).eval()
    prune.random_unstructured(network.body, "weight_hh_l0", 0.5)
    parametrizations.weight_norm(network.body, "weight_ih_l1")
    parametrizations.spectral_norm(network.body, "weight_hh_l1")
    network.eval()
    optimizer = torch.optim.SGD(network.parameters(), 0.5)
    for _ in range(3):
        optimizer.zero_grad()
        network(X)[0].square().sum().backward()
        optimizer.step()
    body = network.body
    mask = body.weight_hh_l0_mask
    assert not body.weight_hh_l0_orig.grad[mask == 0].any()
    assert body.parametrizations.weight_ih_l1.original0.grad.any()
    out, _ = network(X)
    plain = build("ALIF", 6, 17, 3, num_layers=2, engine=engine)
    effective = {n: v for n, v in network.state_dict().items() if n in plain.state_dict()}
    masked = (body.weight_hh_l0_orig * mask, body.weight_ih_l1, body.weight_hh_l1)
    names = ("body.weight_hh_l0", "body.weight_ih_l1", "body.weight_hh_l1")
    plain.load_state_dict(effective | dict(zip(names, masked)))
    assert torch.equal(out, plain(X)[0])
    assert count(network, X) == count(plain, X)
    streamed = compile_stream(network).run(X.numpy()).out
    np.testing.assert_array_equal(streamed, compile_stream(plain).run(X.numpy()).out)


def test_calibration_leaves_weights_alone_that_are_computed():
    layer = SpikingRNN("LIF", 6, 17)
    prune.random_unstructured(layer, "weight_ih_l0", 0.5)
    before = layer.weight_ih_l0_orig.clone()
    out, _ = layer(X)
    assert calibrate(layer, X, rate=0.3) == [pytest.approx(float(out.detach().mean()))]
    assert torch.equal(layer.weight_ih_l0_orig, before)


@ENGINES
def test_tied_weights_sum_their_gradients(engine):
    layer = dyadic_layer("ALIF", 6, 6, 2, engine=engine)
    apart = with_engine(layer, engine)
    for kind in ("ih", "hh"):
        shared = getattr(layer, f"weight_{kind}_l0")
        setattr(layer, f"weight_{kind}_l1", shared)
        getattr(apart, f"weight_{kind}_l1").data.copy_(shared)
    actual, expected = grads(layer, layer(X)[0]), grads(apart, apart(X)[0])
    assert set(expected) - set(actual) == {"weight_ih_l1", "weight_hh_l1"}
    for kind in ("ih", "hh"):
        both = expected[f"weight_{kind}_l0"] + expected[f"weight_{kind}_l1"]
        torch.testing.assert_close(actual[f"weight_{kind}_l0"], both)


def summed_gradient(layer, result=None):
    out = layer(X)[0]
    value = float(sum(g.abs().sum() for g in grads(layer, out).values()))
    if result is not None:
        result.put(value)
    return value


@pytest.mark.parametrize(
    "method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)]
)  # a spawned process imports torch anew, which takes seconds
def test_another_process_trains_after_this_one_did(method):
    layer, threads = dyadic_layer("ALIF", 6, 17), torch.get_num_threads()
    context = torch.multiprocessing.get_context(method)
    result = context.Queue()
    try:
        torch.set_num_threads(2)
        x = torch.rand(512, 512)
        (x @ x).sum()  # torch's own threads exist now
        expected = summed_gradient(layer)
        process = context.Process(target=summed_gradient, args=(layer, result))
        process.start()
        process.join(90)
        hangs = process.is_alive()
        process.kill()
    finally:
        torch.set_num_threads(threads)
    assert not hangs
    assert result.get(timeout=5) == expected


@ENGINES
@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(
            (lambda x, d=d: x.to(d), f"dtype torch.float32 like the weights, got {d}; convert")
            for d in (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool)
        ),
        (lambda x: x.to_sparse(), "expected a dense tensor, got a torch.sparse_coo one"),
        (lambda x: torch.nested.as_nested_tensor([*x], layout=torch.jagged), "a nested one"),
        (lambda x: x.numpy(), "expected a torch tensor or Events, got ndarray"),
        (lambda x: x[:0], "empty input: 0 steps"),
        (lambda x: x[:, :0], "and 0 samples"),
        (lambda x: x[:, :, :0], r"expected input of shape \(T, B, 6\), got \(20, 4, 0\)"),
    ],
)
def test_inputs_that_both_engines_refuse_alike(engine, change, message):
    with pytest.raises(InputError, match=message):
        stack(engine)(change(X))


@ENGINES
@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
        lambda x: x[:1].expand(20, 4, 6),
        lambda x: x[:, :, :1].expand(20, 4, 6),
        lambda x: torch.cat([x, x], 2)[:, :, ::2],
        lambda x: torch._neg_view(-x),
        nn.Parameter,
    ],
)
def test_any_layout_of_a_dense_input_and_state(engine, change):
    layer, x = stack(engine), change(X)
    state = type(layer.zero_state(4))(*torch.ones(3, 1, 1, 1).expand(3, 2, 4, 17))
    out, _ = layer(x, state)
    same, _ = layer(x.detach().clone().contiguous(), type(state)(*(s.clone() for s in state)))
    assert torch.equal(out, same)


@ENGINES
def test_modes_without_gradient_and_the_generator_are_left_alone(engine):
    layer = stack(engine)
    expected, _ = layer(X)
    seed = torch.get_rng_state()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            out, _ = layer(X)
        assert torch.equal(out, expected)
        assert not out.requires_grad
    expected.sum().backward()
    record(layer, X)
    compile_stream(layer)
    assert torch.equal(torch.get_rng_state(), seed)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_banks_are_chosen_under_autocast_too(dtype):
    layer, x = Baseline("GRU", 3, 8, experts=4, awake=2), (torch.rand(9, 2, 3) < 0.4).float()
    expected, _ = layer(x)
    with torch.autocast("cpu", dtype):
        out, _ = layer(x)
    assert torch.equal(out, expected)


def test_what_has_a_seed_of_its_own_leaves_the_generator_alone():
    seed = torch.get_rng_state()
    check_neuron(LIF)
    dataset = load("digits")
    network = fresh_network("LIF", 8, dataset, seed=3)
    assert torch.equal(torch.get_rng_state(), seed)
    torch.manual_seed(3)
    expected = build("LIF", dataset.input_size, 8, dataset.classes, dt=dataset.dt)
    assert_equal_by_name(network.state_dict(), expected.state_dict())


@ENGINES
@pytest.mark.parametrize("settings", TOPOLOGIES)
def test_deterministic_algorithms(engine, settings):
    layer = stack(engine, **settings)
    expected, _, _ = gradients(layer, X, torch.tensor(LENGTHS))
    torch.use_deterministic_algorithms(True)
    try:
        actual, _, _ = gradients(layer, X, torch.tensor(LENGTHS))
    finally:
        torch.use_deterministic_algorithms(False)
    assert_equal_by_name(actual, expected)


CALLS = {
    "layer": (lambda: stack("auto"), lambda m, n: m(X, None, n)[0]),
    "network": (lambda: build("ALIF", 6, 9, 3, "mean"), lambda m, n: m(X, None, n)[0]),
    "delayed": (lambda: build("ALIF", 6, 9, 3, delay=3), lambda m, n: m(X, None, n)[0]),
    "standard": (lambda: build("GRU", 6, 9, 3, "mean"), lambda m, n: m(X, None, n)[0]),
    "record": (lambda: stack("auto"), lambda m, n: record(m, X, None, n).layers[1].out),
    "count": (lambda: stack("auto"), lambda m, n: count(m, X, n).ops),
}


@pytest.mark.parametrize("call", CALLS)
def test_lengths_may_be_a_list_an_array_or_any_whole_numbers(call):
    make, run = CALLS[call]
    model = make()
    expected = run(model, torch.tensor(LENGTHS))
    for kind in (list, tuple, np.array, lambda n: torch.tensor(n, dtype=torch.uint8)):
        actual = run(model, kind(LENGTHS))
        same = torch.equal(actual, expected) if call != "count" else actual == expected
        assert same, kind
    for wrong in ([20.0, 3.0, 5.0, 1.0], [True] * 4, [None] * 4, "many", [3]):
        with pytest.raises(InputError, match=r"expected lengths as .*whole numbers"):
            run(model, wrong)


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_time_constants_one_per_neuron(kind):
    times = [5.0, 10.0, 20.0]
    model = LIF.with_constants(tau_mem=kind(times))
    layer = SpikingRNN(model, 6, 3, 2)
    for k in range(2):
        torch.testing.assert_close(layer.constants(k)["tau_mem"], torch.tensor(times))
    assert model == LIF.with_constants(tau_mem=tuple(times))
    with pytest.raises(InputError, match="tau_mem has 3 values for 4 neurons"):
        SpikingRNN(model, 6, 4)
    with pytest.raises(InputError, match="tau_mem must be above 0, got -1"):
        LIF.with_constants(tau_mem=kind([5.0, -1.0]))
    with pytest.raises(InputError, match=r"one value, or one per neuron, got \(1, 3\)"):
        LIF.with_constants(tau_mem=kind([times]))


def test_a_neuron_without_leak_is_one_with_a_long_time_constant():
    with pytest.raises(InputError, match="tau_mem must be finite, such as 1e5, got inf"):
        LIF.with_constants(tau_mem=math.inf)
    with pytest.raises(InputError, match=r"does not respond to a current.*below 1e6 dt"):
        SpikingRNN(LIF.with_constants(tau_mem=1e9), 6, 17)
    assert 0 < SpikingRNN(LIF.with_constants(tau_mem=1e5), 6, 17)(X)[0].detach().mean() < 0.2


@pytest.mark.parametrize("wants_x", [False, True])
def test_the_flop_counter_sees_in_a_kernel_what_it_sees_in_the_loop(wants_x):
    counts = {}
    for engine in ("fused", "reference"):
        torch.manual_seed(0)
        layers = SpikingRNN("ALIF", 5, 16, num_layers=2, engine=engine)
        x = torch.rand(7, 3, 5, requires_grad=wants_x)
        with FlopCounterMode(display=False) as counter:
            out, _ = layers(x)
            forward = counter.get_total_flops()
            out.sum().backward()
        counts[engine] = forward, counter.get_total_flops() - forward
    (forward, backward), (wanted, loop) = counts["fused"], counts["reference"]
    assert forward == wanted == 2 * 7 * 3 * (5 * 16 + 3 * 16 * 16)
    # torch leaves out the product with the initial state's gradient, which nobody asked for
    assert backward == loop + 2 * (2 * 3 * 16 * 16)
    events = Events.from_dense((torch.rand(7, 3, 5) > 0.5).to(torch.uint8))
    with FlopCounterMode(display=False) as counter:
        SpikingRNN("ALIF", 5, 16, recurrent=False)(events)
    assert counter.get_total_flops() == 2 * 7 * 3 * 5 * 16


@pytest.mark.parametrize(
    ("name", "share"), [("LIF", 1.0), ("LIF", 0.1), ("RNN", 1.0), ("GRU", 1.0)]
)
def test_a_backward_under_autocast_is_that_without(name, share):
    torch.manual_seed(0)
    layer = Baseline(name, 32, 8) if name in BASELINES else SpikingRNN(name, 32, 8)
    x = (torch.randn(12, 4, 32) * (torch.rand(12, 4, 32) < share)).requires_grad_()
    found = []
    for enabled in (False, True):
        out = layer(x)[0].square().sum()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found.append(torch.autograd.grad(out, [x, *layer.parameters()]))
    assert all(map(torch.equal, *found))


@pytest.mark.parametrize("name", ["LIF", "GRU"])
def test_layers_run_whatever_the_default_device_and_type_are(name, double):
    layer = Baseline(name, 6, 8) if name in BASELINES else SpikingRNN(name, 6, 8, recurrent=0.02)
    layer = layer.float()
    x = X.float()
    expected = layer(x)[0]
    with torch.device("meta"):
        out = layer(x)[0]
        torch.autograd.grad(out.sum(), [*layer.parameters()])
    assert torch.equal(out, expected)


def test_a_sparse_recurrence_may_be_a_transposed_view():
    layer = SpikingRNN("LIF", 6, 64, recurrent=0.02, engine="fused")
    weights = dict(layer.named_parameters())
    name = "weight_hh_l0"
    turned = weights[name].detach().t().contiguous().t().requires_grad_()
    found = [
        torch.autograd.grad(functional_call(layer, {name: w}, (X,))[0].sum(), w)[0]
        for w in (weights[name], turned)
    ]
    assert torch.equal(*found)


@ENGINES
def test_a_weight_of_another_type_than_the_first_is_named(engine):
    layer = SpikingRNN("LIF", 6, 8, num_layers=2, engine=engine)
    layer.bias_l1.data = layer.bias_l1.data.double()
    with pytest.raises(InputError, match=r"bias as torch\.float32 on cpu, like the first weights"):
        layer(X)


@pytest.mark.parametrize("wants_x", [False, True])
@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_the_flop_counter_sees_the_cells(name, wants_x):
    layer = Baseline(name, 6, 8)
    x = torch.rand(5, 3, 6, requires_grad=wants_x)
    with FlopCounterMode(display=False) as counter:
        out = layer(x)[0].sum()
        forward = counter.get_total_flops()
        out.backward()
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[name]
    assert forward == 2 * 15 * gates * 8 * (6 + 8)
    assert counter.get_total_flops() - forward == 2 * 15 * gates * 8 * ((1 + wants_x) * 6 + 2 * 8)
