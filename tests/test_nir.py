"""NIR: there and back bit for bit, its equations in the limit dt -> 0, and what it cannot say."""

import math
from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from spikern import testing
from spikern._utils.errors import DataError, InputError, UnsupportedError
from spikern.interop.cuba_lif_hard import HardCubaLIF
from spikern.interop.nir import from_nir, network_from_nir, read_nir, to_nir, write_nir
from spikern.interop.nir_graph import chain
from spikern.layers.network import Network, build
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.neurons import LI
from spikern.neurons.alif import ALIF
from spikern.neurons.constants import positive, real
from spikern.neurons.cuba_lif import CubaLIF
from spikern.neurons.lif import LIF
from spikern.neurons.lif_hard import HardLIF

nir = pytest.importorskip("nir")
T, B, F, H, C = 60, 3, 5, 7, 4


def layer_of(model=HardLIF, **settings):
    settings = {"num_layers": 2, "dt": 0.5, "engine": "reference", "input_power": 0.1} | settings
    return SpikingRNN(model, F, H, **settings)


def drive():
    return 2 * torch.randn(T, B, F)


def weights(to, of):
    rng = np.random.default_rng(to + of)
    return nir.Linear(weight=rng.normal(size=(to, of)).astype(np.float32))


def graph_of(nodes, edges, features=F, outputs=H):
    ends = {"input": nir.Input(np.array([features])), "output": nir.Output(np.array([outputs]))}
    return nir.NIRGraph(nodes=ends | nodes, edges=edges, metadata={"dt": 1e-3})


CHAIN = [("input", "w"), ("w", "n"), ("n", "output")]


def lif(size=1, **changes):
    numbers = dict(tau=0.02, r=1.0, v_leak=0.0, v_threshold=1.0, v_reset=0.0) | changes
    return nir.LIF(**{k: np.full(size, v) for k, v in numbers.items()})


@pytest.mark.parametrize("model", [HardLIF, HardCubaLIF], ids=lambda m: m.name)
@pytest.mark.parametrize("recurrent", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_layers_come_back_bit_for_bit(tmp_path, model, recurrent, bias):
    layer = layer_of(model, recurrent=recurrent, bias=bias)
    layer.set_constants(0, v_th=torch.rand(H) + 0.5)
    layer.set_constants(1, v_reset=torch.rand(H) - 1.0)
    write_nir(tmp_path / "layer.nir", to_nir(layer))
    again = from_nir(read_nir(tmp_path / "layer.nir"), engine="reference")
    x = drive()
    expected, _ = layer.unroll(x)
    assert len(again) == 2
    for k, one in enumerate(again):
        x, _ = one(x)
        assert 0.001 < x.mean() < 0.9
        assert torch.equal(x, expected[k])
        for name, value in one.state_dict().items():
            assert torch.equal(value, layer.state_dict()[name.replace("_l0", f"_l{k}")]), name


@pytest.mark.parametrize("answer", ["last", "mean", "every_step"])
@pytest.mark.parametrize("leaky", [True, False])
@pytest.mark.parametrize("differ", [True, False])
def test_networks_come_back_bit_for_bit(tmp_path, answer, leaky, differ):
    torch.manual_seed(1)
    body = layer_of(HardCubaLIF)
    if differ:
        body = SpikingRNN(
            [HardLIF, HardCubaLIF, HardLIF], F, [7, 9, 5], recurrent=[True, False, True],
            dt=0.5, engine="reference", input_power=0.1,
        )  # fmt: skip
    size = body.output_size
    readout = Readout(size, C, dt=0.5, engine="reference") if leaky else nn.Linear(size, C)
    network = Network(body, readout, answer)
    write_nir(tmp_path / "network.nir", to_nir(network))
    again = network_from_nir(read_nir(tmp_path / "network.nir"), engine="reference")
    x = drive()
    assert again.answer == answer
    assert torch.equal(again(x)[0], network(x)[0])
    assert network(x)[0].any()
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_a_changed_graph_is_seen():
    """The comparison above can fail."""
    torch.manual_seed(2)
    layer = layer_of()
    graph = to_nir(layer)
    graph.nodes["lif_1"].tau = graph.nodes["lif_1"].tau * (1 + 1e-5)
    again = from_nir(graph)
    assert not torch.equal(again[1].raw_tau_mem_l0, layer.raw_tau_mem_l1)
    assert torch.equal(again[0].raw_tau_mem_l0, layer.raw_tau_mem_l0)


def test_what_a_graph_says():
    """By NIR's own equations: seconds, R = 1, v_leak = 0, recurrence as a loop."""
    torch.manual_seed(3)
    layer = layer_of(num_layers=1)
    graph = to_nir(layer)
    node = graph.nodes["lif_0"]
    assert type(node) is nir.LIF
    np.testing.assert_allclose(node.tau, layer.raw_tau_mem_l0.detach().double().exp() / 1000)
    assert (node.r == 1).all()
    assert (node.v_leak == 0).all()
    assert (node.v_reset == 0).all()
    assert graph.metadata["dt"] == 0.0005
    assert set(graph.edges) == {
        ("input", "w_in_0"), ("w_in_0", "lif_0"), ("lif_0", "output"),
        ("lif_0", "w_rec_0"), ("w_rec_0", "lif_0"),
    }  # fmt: skip
    assert np.array_equal(graph.nodes["w_rec_0"].weight, layer.weight_hh_l0.detach().numpy())


def single(node, dt, scheme="exponential", current=1.0):
    """One neuron driven by a constant current, in float64."""
    nodes = {"w": nir.Linear(weight=np.array([[current]])), "n": node}
    graph = graph_of(nodes, CHAIN, features=1, outputs=1)
    (layer,) = from_nir(graph, dt=dt, scheme=scheme, engine="reference")
    return layer


def ones(value):
    return np.array([value])


@pytest.mark.parametrize("dt", [1.0, 0.25])
def test_below_threshold_the_exponential_scheme_is_exact(dt):
    """v(t) = v_leak + R I (1 - exp(-t / tau)); v is measured from v_leak."""
    layer = single(lif(r=3.0, v_leak=-0.5, v_threshold=9.0), dt, current=0.7)
    steps = int(50 / dt)
    _, state = layer(torch.ones(steps, 1, 1, dtype=torch.float64))
    expected = 3.0 * 0.7 * (1 - math.exp(-50 / 20))
    # float64 rounding of 200 steps
    assert state.v.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("scheme", ["exponential", "euler"])
def test_spike_times_converge_to_the_closed_form(scheme):
    """With v_reset they come every tau ln((R I - v_reset) / (R I - v_th)) after the first."""
    drive, v_th, v_reset = 1.6, 1.0, 0.25
    first = 20 * math.log(drive / (drive - v_th))
    period = 20 * math.log((drive - v_reset) / (drive - v_th))
    exact = first + period * np.arange(6)
    errors = []
    for dt in (0.2, 0.02):
        layer = single(lif(r=drive, v_reset=v_reset, v_threshold=v_th), dt, scheme)
        z, _ = layer(torch.ones(int(exact[-1] / dt) + 60, 1, 1, dtype=torch.float64))
        times = (z[:, 0, 0].nonzero()[:, 0].numpy() + 1) * dt
        errors.append(np.abs(times[:6] - exact))
        # a spike waits for the end of its step, and the waits add up; euler is also off itself
        assert (errors[-1] <= dt * (2 + np.arange(6)) * (1 if scheme == "exponential" else 2)).all()
    assert errors[1].max() < 0.3 * errors[0].max()


def test_a_cuba_lif_converges_with_first_order():
    """v(t) of tau_mem v' = -v + R I, tau_syn I' = -I + w_in S for S = 1 from t = 0."""
    mem, syn, t = 20.0, 5.0, 15.0
    gain = 2.0 * 0.8
    exact = gain * (1 - (mem * math.exp(-t / mem) - syn * math.exp(-t / syn)) / (mem - syn))
    errors = []
    for dt in (0.5, 0.25, 0.125):
        numbers = dict(tau_syn=syn / 1000, tau_mem=mem / 1000, r=2.0, w_in=0.8)
        numbers |= dict(v_leak=0.0, v_threshold=9.0, v_reset=0.0)
        layer = single(nir.CubaLIF(**{k: ones(v) for k, v in numbers.items()}), dt)
        _, state = layer(torch.ones(int(t / dt), 1, 1, dtype=torch.float64))
        errors.append(abs(state.v.item() - exact))
    assert 1.9 < errors[0] / errors[1] < 2.1
    assert 1.9 < errors[1] / errors[2] < 2.1
    assert errors[2] < 0.01


def test_a_leaky_integrator_is_exact():
    node = nir.LI(tau=ones(0.01), r=ones(2.0), v_leak=ones(0.0))
    layer = single(node, 0.5)
    v, _ = layer(torch.ones(40, 1, 1, dtype=torch.float64))
    assert isinstance(layer, Readout)
    # float64 rounding of 40 steps
    assert v[-1].item() == pytest.approx(2 * (1 - math.exp(-2)), rel=1e-12)


def test_fires_strictly_above_threshold():
    """As NIR's equation says: z is 1 where v > v_threshold. tau = 0 would be v = R I."""
    layer = single(lif(tau=1e-6), dt=1.0)
    z, _ = layer(torch.tensor([1.0, 1.0 + 1e-9], dtype=torch.float64).view(2, 1, 1))
    assert z.flatten().tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("model", "lost"),
    [
        (LIF, "soft reset"),
        (CubaLIF, "soft reset"),
        (ALIF, "adaptation of the threshold, and the soft reset"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_nir_cannot_say(model, lost):
    torch.manual_seed(4)
    layer = layer_of(model)
    with pytest.raises(UnsupportedError, match=f"would lose the {lost}.*lossy=True"):
        to_nir(layer)
    with pytest.warns(UserWarning, match=f"{model.name} in NIR loses the {lost}"):
        graph = to_nir(layer, lossy=True)
    again = from_nir(graph)
    assert again[1].neuron is (HardCubaLIF if model is CubaLIF else HardLIF)
    assert torch.equal(again[1].raw_tau_mem_l0, layer.raw_tau_mem_l1)
    assert torch.equal(again[1].weight_hh_l0, layer.weight_hh_l1)


def test_a_graph_that_comes_back_is_refused():
    nodes = {"w": weights(H, H), "n": lif(H), "v": weights(H, H), "m": lif(H)}
    edges = [("input", "w"), ("w", "n"), ("n", "v"), ("v", "m"), ("m", "w")]
    ends = {"input": nir.Input(np.array([H])), "output": nir.Output(np.array([H]))}
    with pytest.raises(UnsupportedError, match=r"'w' is reached from \['input', 'm'\]; expected"):
        chain(SimpleNamespace(nodes=nodes | ends, edges=edges))  # nir would add another input


@pytest.mark.filterwarnings("ignore:Decaying in NIR loses")
def test_a_decay_without_a_time_constant_is_named():
    constants = {"alpha_mem": real("alpha_mem", 0.9), "v_th": positive("v_th", 1.0)}
    other = replace(LIF, name="Decaying", constants=constants)
    message = r"LIF node .* Decaying has no tau_mem, but alpha_mem"
    with pytest.raises(UnsupportedError, match=message):
        to_nir(layer_of(other), lossy=True)


def test_what_has_no_node_at_all():
    other = replace(LIF, name="other", step=lambda p, s, i, fire: LIF.step(p, s, i, fire))
    with pytest.raises(UnsupportedError, match="no node for other"):
        to_nir(layer_of(other), lossy=True)
    with pytest.raises(UnsupportedError, match="no node for Baseline"):
        to_nir(build("GRU", F, H, C))


def test_a_nested_graph_is_the_same_as_a_flat_one():
    parts = {"lif": lif(H), "w_rec": nir.Affine(weights(H, H).weight, np.ones(H))}
    nested = nir.NIRGraph(
        nodes=parts | {"input": nir.Input(np.array([H])), "output": nir.Output(np.array([H]))},
        edges=[("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
    )
    ends = [("input", "w"), ("w", "lif"), ("lif", "output")]
    loop = [("lif", "w_rec"), ("w_rec", "lif")]
    (a,) = from_nir(graph_of({"w": weights(H, F), "lif": nested}, ends))
    (b,) = from_nir(graph_of({"w": weights(H, F)} | parts, ends + loop))
    assert a.recurrent
    assert a.bias
    for name, value in a.state_dict().items():
        assert torch.equal(value, b.state_dict()[name]), name


@pytest.mark.parametrize(
    ("nodes", "edges", "match"),
    [
        ({"s": nir.Scale(np.ones(F))}, [("input", "s"), ("s", "output")], "'s' is Scale"),
        (
            {"n": lif(H), "again": weights(H, F)},
            [*CHAIN, ("input", "again"), ("again", "n")],
            "'input' leads to",
        ),
        ({"n": lif(H)}, [*CHAIN, ("n", "n")], "'n' is reached from|leads to"),
        (
            {"n": nir.IF(r=np.ones(H), v_threshold=np.ones(H))},
            CHAIN,
            "'n' is IF; expected LIF or CubaLIF or LI",
        ),
        ({"n": lif(H, v_threshold=0.0)}, CHAIN, "'n': v_threshold must be above v_leak"),
        ({"n": lif(H, tau=0.0)}, CHAIN, "'n': time constants must be above 0 ms"),
        ({"n": lif(H, tau=np.nan)}, CHAIN, "tau of node 'n' is not finite"),
        ({"n": nir.LI(np.ones(H), np.ones(H), np.ones(H))}, CHAIN, "'n': an LI with v_leak"),
    ],
)
def test_foreign_graphs_are_refused_by_the_node(nodes, edges, match):
    outputs = F if "s" in nodes else H
    nodes = nodes if "s" in nodes else {"w": weights(H, F)} | nodes
    with pytest.raises(UnsupportedError, match=match):
        from_nir(graph_of(nodes, edges, outputs=outputs))


def test_what_else_is_refused():
    torch.manual_seed(5)
    graph = to_nir(layer_of())
    with pytest.raises(InputError, match="does not say its answer"):
        network_from_nir(graph)
    with pytest.raises(UnsupportedError, match="read it with from_nir"):
        network_from_nir(graph, "last")
    with pytest.raises(UnsupportedError, match="read it with network_from_nir"):
        from_nir(to_nir(Network(layer_of(), nn.Linear(H, C), "last")))
    with pytest.raises(InputError, match="did you mean 'euler'"):
        from_nir(graph, scheme="eular")
    with pytest.raises(UnsupportedError, match=r"above 50 ms \(euler"):
        from_nir(graph, dt=50.0, scheme="euler")
    graph.metadata = {"dt": 1e-3, "spikern_format": 2}
    with pytest.raises(DataError, match="spikern's format 2"):
        from_nir(graph)
    graph.metadata = {}
    with pytest.raises(InputError, match="has no dt"):
        from_nir(graph)


@pytest.fixture
def changed(tmp_path):
    """A function that writes a recurrent graph, has its file changed, and returns its path."""

    def write(change):
        torch.manual_seed(6)
        write_nir(tmp_path / "graph.nir", to_nir(layer_of(HardCubaLIF)))
        with h5py.File(tmp_path / "graph.nir", "r+") as file:
            change(file)
        return tmp_path / "graph.nir"

    return write


def put(file, name, value):
    del file[name]
    file[name] = value


@pytest.mark.parametrize("version", ["0.2.0", "0.1.1", None])
def test_files_of_older_versions(changed, version):
    """As nir wrote the graphs of its paper: no v_reset, no metadata, maybe no version."""

    def age(file):
        put(file, "version", version or "")
        if version is None:
            del file["version"]
        del (
            file["node/metadata"],
            file["node/nodes/lif_0/v_reset"],
            file["node/nodes/lif_1/v_reset"],
        )
        put(file, "node/nodes/output/shape", [1, 1, H])  # as Rockpool did

    with pytest.warns(UserWarning, match="nodes/lif_0, nodes/lif_1 without v_reset.* taken as 0"):
        layers = from_nir(read_nir(changed(age)), dt=0.5)
    expected = from_nir(read_nir(changed(lambda file: None)))
    for one, other in zip(layers, expected, strict=True):
        assert one.dt == other.dt
        for name, value in other.state_dict().items():
            assert torch.equal(one.state_dict()[name], value), name


def test_files_of_newer_versions(changed):
    with pytest.raises(DataError, match=r"written by nir 2\.0\.0.*pip install 'nir==2\.\*'"):
        read_nir(changed(lambda file: put(file, "version", "2.0.0")))
    with pytest.warns(UserWarning, match=r"pip install 'nir>=1\.99\.0'"):
        read_nir(changed(lambda file: put(file, "version", "1.99.0")))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda file: file.move("node/nodes/lif_1", "node/nodes/x"),
            "'lif_1' which does not exist",
        ),
        (lambda file: file.pop("node/nodes/lif_0/tau_mem"), "missing 1 required .* 'tau_mem'"),
        (lambda file: put(file, "node/nodes/lif_0/tau_mem", np.ones(2)), "the same shape"),
        (lambda file: put(file, "node/nodes/lif_0/type", "Neuron"), "AssertionError"),
        (lambda file: file.pop("node"), "'node' doesn't exist"),
        (lambda file: put(file, "version", "new"), "invalid literal for int"),
    ],
)
def test_what_nir_cannot_read_has_its_reason(changed, change, reason):
    path = changed(change)
    with pytest.raises(DataError, match=f"{path}.*{reason}"):
        read_nir(path)


def test_bad_files(tmp_path):
    path = tmp_path / "corrupt.nir"
    with pytest.raises(DataError, match=r"corrupt\.nir: no such file; give the path of an HDF5"):
        read_nir(path)
    path.write_bytes(b"not a graph")
    with pytest.raises(DataError, match=r"corrupt\.nir: expected an HDF5 file, whole: .*signature"):
        read_nir(path)


@pytest.mark.parametrize(
    ("name", "shape", "got"),
    [
        ("w_in_1", (H, H + 1), r"expected weights \(7, 7\) .* got \[\(7, 8\)\]"),
        ("w_rec_0", (1, H), r"expected weights \(7, 7\) .* got \[\(1, 7\)\]"),
        ("w_in_0", (H,), r"got \[\(7,\)\]"),
    ],
)
def test_weights_that_do_not_fit_are_refused(name, shape, got):
    graph = to_nir(layer_of(bias=False))
    graph.nodes[name].weight = np.ones(shape, np.float32)
    with pytest.raises(UnsupportedError, match=got):
        from_nir(graph)


def exported(kind, **settings):
    """A network with a cell of snnTorch, and the graph that snnTorch writes of it."""
    snn = pytest.importorskip("snntorch")
    export = pytest.importorskip("snntorch.export_nir")
    net = nn.Sequential(nn.Linear(F, H), getattr(snn, kind)(init_hidden=True, **settings))
    return net, export.export_to_nir(net, torch.randn(1, F), ignore_dims=[0])


@pytest.mark.filterwarnings("ignore:nirtorch.extract_nir_graph:DeprecationWarning")
def test_a_graph_that_snntorch_wrote():
    """With snnTorch's own scheme and step it spikes as there."""
    torch.manual_seed(7)
    settings = dict(beta=torch.full((H,), 0.9), threshold=torch.ones(H), reset_mechanism="zero")
    net, graph = exported("Leaky", **settings)
    net[1].reset_mem()
    x = 2 * torch.randn(T, B, F)
    with torch.no_grad():
        theirs = torch.stack([net(now) for now in x])
    (layer,) = from_nir(graph, dt=0.1, scheme="euler", engine="reference")
    assert 0.05 < theirs.mean() < 0.9
    # no |u| of this run is below 1e-4, so the last bits that differ change no spike
    assert torch.equal(layer(x)[0], theirs)


@pytest.mark.filterwarnings("ignore:nirtorch.extract_nir_graph:DeprecationWarning")
def test_a_recurrent_graph_that_snntorch_wrote():
    torch.manual_seed(8)
    net, graph = exported("RLeaky", beta=0.9, linear_features=H)
    (layer,) = from_nir(graph, dt=0.1, scheme="euler")
    # R = tau / dt of float32 numbers goes into the weights
    gain = 1 / (1 - layer.params(0).alpha_mem.detach()).unsqueeze(1)
    assert torch.allclose(gain, torch.full((H, 1), 10.0), rtol=1e-5)
    torch.testing.assert_close(layer.weight_hh_l0, gain * net[1].recurrent.weight)
    torch.testing.assert_close(layer.bias_l0, 10 * (net[0].bias + net[1].recurrent.bias))


@pytest.mark.usefixtures("plain_python")
def test_the_neuron_of_cuba_lif_keeps_the_contract():
    testing.check_neuron(HardCubaLIF)
    testing.check_neuron(HardLIF)


@pytest.mark.parametrize("lengths", [None, torch.tensor([20, 7, 1])])
def test_torch_export_of_the_reference_engine(lengths):
    """The recipe of docs/nir.md: at fixed T and B the program is the layer, bit for bit."""
    torch.manual_seed(9)
    layer = layer_of(ALIF)
    x = torch.randn(20, B, F)
    program = torch.export.export(layer, (x, None, lengths))
    for other in (x, 3 * torch.randn(20, B, F)):
        ours, state = layer(other, None, lengths)
        theirs, their_state = program.module()(other, None, lengths)
        assert torch.equal(theirs, ours)
        assert all(torch.equal(a, b) for a, b in zip(their_state, state))
    assert ours.any()


def test_what_is_written_beside_the_synapses_is_not_exported():
    model = build("HardLIF", 6, 30, 3, recurrent=0.2)
    with torch.no_grad():
        model.body.weight_hh_l0.fill_(0.1)
    x = 3 * torch.randn(20, 4, 6)
    assert torch.equal(network_from_nir(to_nir(model))(x)[0], model(x)[0])
    recurrent = to_nir(model).nodes["w_rec_0"].weight
    assert np.count_nonzero(recurrent) == len(model.body.synapses_hh_l0)


def test_a_graph_has_one_dt():
    model = Network(SpikingRNN(HardLIF, 3, 6, dt=0.5), Readout(6, 2), "last")
    with pytest.raises(UnsupportedError, match=r"the body has 0.5 ms and the readout 1 ms"):
        to_nir(model)


def test_the_nodes_of_a_readout_are_its_own():
    readout = Readout(6, [6, 2], neuron=[HardLIF, LI], recurrent=[True, False])
    model = Network(SpikingRNN(HardLIF, 3, 6), readout, "last")
    graph = to_nir(model)
    own = {"w_out_0", "readout_0", "w_rec_out_0", "w_out", "readout"}
    assert graph.nodes.keys() == {"input", "w_in_0", "lif_0", "w_rec_0", *own, "output"}


@pytest.mark.parametrize("recurrent", ["diagonal", 0.4])
def test_synapses_that_do_not_exist_come_back_as_such(recurrent, tmp_path):
    network = Network(layer_of(recurrent=recurrent), Readout(H, 2, dt=0.5), "last")
    write_nir(tmp_path / "sparse.nir", to_nir(network))
    again = network_from_nir(read_nir(tmp_path / "sparse.nir"))
    wanted = network.body.synapses_hh_l0
    assert torch.equal(again.body.synapses_hh_l0, wanted)
    full = network_from_nir(to_nir(Network(layer_of(), Readout(H, 2, dt=0.5), "last")))
    assert full.body.synapses_hh_l0 is None


def test_what_is_no_layer_and_what_has_no_neuron_are_named():
    with pytest.raises(InputError, match="model must be SpikingRNN or Network, got str"):
        to_nir("x")
    with pytest.raises(UnsupportedError, match="the graph has no neurons"):
        network_from_nir(graph_of({"w": weights(H, F)}, [("input", "w"), ("w", "output")]), "last")
