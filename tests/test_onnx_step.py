"""One step as an ONNX graph, run by ONNX Runtime, beside the stream and torch."""

from collections import namedtuple

import numpy as np
import pytest
import torch
from engine_cases import SPIKING, dyadic_layer, events

from spikern._utils.errors import InputError, UnsupportedError
from spikern.engines.codegen.emit import NAMES, OPERATIONS
from spikern.interop.onnx import onnx_graph, session
from spikern.interop.stepwise import onnx_step
from spikern.layers.baseline import BASELINES
from spikern.layers.network import Network, build
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.layers.streaming import compile_stream
from spikern.neurons.constants import real
from spikern.neurons.model import NeuronModel
from spikern.testing import dyadic

pytest.importorskip("onnxruntime")


def run(network, x):
    """The outputs (T, B, C) of a graph that is called once per step."""
    graph = onnx_step(network)
    runtime = session(graph)
    state = {
        value.name: np.zeros(
            (x.shape[1], value.type.tensor_type.shape.dim[1].dim_value), np.float32
        )
        for value in graph.graph.input[1:]
    }
    outs = []
    for row in x:
        out, *following = runtime.run(None, {"x": row} | state)
        state = dict(zip(state, following))
        outs.append(out)
    return np.stack(outs)


@pytest.mark.usefixtures("mostly_plain")
@pytest.mark.parametrize("name", SPIKING)
def test_every_neuron_steps_as_its_stream(name):
    network = Network(dyadic_layer(name, 6, 17, 2), dyadic_layer("LI", 17, 3), "last")
    x = events(30, 4, 6).numpy()
    expected = compile_stream(network).run(x).out
    # Sums of dyadic weights are exact; the readout's own constants round in another order.
    assert np.allclose(run(network, x), expected, rtol=0, atol=1e-5)
    assert np.ptp(expected) > 0.1


@pytest.mark.usefixtures("plain_python")
def test_layers_that_differ_step_as_their_stream():
    body = SpikingRNN(["ALIF", "LIF"], 6, [17, 9], recurrent=[True, False], input_power=0.3)
    network = Network(dyadic(body), dyadic_layer("LI", 9, 3), "last")
    x = 2 * events(30, 4, 6).numpy()
    expected = compile_stream(network).run(x).out
    assert np.allclose(run(network, x), expected, rtol=0, atol=1e-5)  # as above
    assert np.ptp(expected) > 0.1


@pytest.mark.parametrize("kind", BASELINES)
def test_a_gated_network_steps_as_torch(kind):
    network = build(kind, 3, 8, 4, num_layers=2, answer="every_step").eval()
    x = torch.randn(20, 2, 3)
    assert np.allclose(run(network, x.numpy()), network(x)[0].detach(), rtol=0, atol=1e-6)


def test_the_graph_does_not_depend_on_the_length_of_a_sequence():
    graph = onnx_step(build("ALIF", 3, 8, 2))
    assert len(graph.graph.node) < 40
    assert not {node.op_type for node in graph.graph.node} & {"Loop", "Scan"}


def test_every_operation_of_a_step_has_a_form_in_every_target_or_is_named():
    lacking = {
        target: {kind for kind, forms in OPERATIONS.items() if not getattr(forms, target)}
        for target in NAMES
    }
    backward = {kind for kind in OPERATIONS if kind.endswith("_backward")}
    assert lacking == {
        "numba": set(), "c": backward, "onnx": backward, "triton": {"fmod"},
    }  # fmt: skip


@pytest.mark.usefixtures("plain_python")
def test_delays_are_refused():
    with pytest.raises(UnsupportedError, match="delays"):
        onnx_step(build("LIF", 3, 8, 2, delay=3))


def test_a_readout_without_bias_and_weights_of_doubles():
    network = build("GRU", 3, 8, 2)
    network.readout = torch.nn.Linear(8, 2, bias=False)
    x = torch.randn(5, 2, 3)
    outputs = run(network, x.numpy())
    assert outputs[-1] == pytest.approx(network(x)[0].detach().numpy(), abs=1e-5)
    for make in (onnx_step, onnx_graph):
        make(network)
        with pytest.raises(InputError, match=r"float32, got torch.float64; give network.float"):
            make(build("GRU", 3, 8, 2).double())
        with pytest.raises(InputError, match="expected a Network, got SpikingRNN"):
            make(SpikingRNN("LIF", 3, 4))


@pytest.mark.usefixtures("plain_python")
def test_a_field_may_have_any_name():
    def step(p, s, i, fire):
        bias = p.decay * s.bias + i
        z = fire(bias - 1.0)
        return type(s)(bias * (1 - z), s.value_0 + z, z), z

    params, state = namedtuple("OwnParams", "decay"), namedtuple("OwnState", "bias value_0 z")
    mine = NeuronModel("Own", step, params, state, {"decay": real("decay", 0.9)}, "-")
    network = Network(SpikingRNN(mine, 3, 4), Readout(4, 2), "every_step")
    x = torch.randn(6, 1, 3)
    np.testing.assert_allclose(run(network, x.numpy()), network(x)[0].detach(), atol=1e-6)
