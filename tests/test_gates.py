"""Every gate is seen to fail once: faults planted in the kernels are rejected.

The kernels run here as plain Python, without numba's compiler, which is a test of its own.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_cases import SPIKING, assert_as_reference, dyadic_layer, events, gradients
from test_count import test_counts_equal_brute_force as counts_equal_brute_force
from test_count import (
    test_every_layer_direction_and_projection_equals_brute_force as directions_equal_brute_force,
)
from test_fused import (
    test_a_network_as_one_stack_is_its_layers_one_after_the_other as stack_is_its_layers,
)
from test_fused import (
    test_sparse_recurrence_is_the_references_and_stays_sparse as sparse_recurrence,
)
from test_memory import test_traffic_equals_brute_force as traffic_equals_brute_force
from torch import nn

from spikern._utils.errors import InputError
from spikern.cost import memory, spiking, standard
from spikern.engines.codegen import kernels, stream_kernels
from spikern.layers import streaming
from spikern.layers.rnn import SpikingRNN
from spikern.neurons.alif import ALIF
from spikern.neurons.eif import EIF
from spikern.neurons.lif import LIF
from spikern.testing import ContractError, check_neuron, fused_agrees, stays_finite, stream_agrees

FAULTS = {
    "reset gradient dropped": ("G_z[q, h] = bx_add_8", "G_z[q, h] = f32(0.0)"),
    "recurrence off by one": (
        "n = list_kept(bits, (t - 1) * batch + b, rows, 0)\n                        if sparse:\n"
        "                            add_to_synapses",
        "n = list_kept(bits, t * batch + b, rows, 0)\n                        if sparse:\n"
        "                            add_to_synapses",
    ),
    "fires at threshold": ("z = truth(u > f32(0.0))", "z = truth(u >= f32(0.0))"),
    "state leaks between samples": ("S_v[q, h] = start[0, low + q, h]", "S_v[q, h] = S_v[0, h]"),
    "recurrence forgotten": ("add_rows(acc, w_rec, rows, 0, n)", "pass"),
    "recurrent gradient forgotten": ("add_dots(G_z, q, w_rec, rows, 0, n, di, q)", "pass"),
    "padding runs on": ("if t >= lengths[b]:", "if t > lengths[b]:"),
    "bias gradient twice": ("db[h] += y", "db[h] += f32(2.0) * y"),
    "initial spikes forgotten": ("add_rows(acc, w_rec, rows, 0, n, S_z, q)", "pass"),
}


def agree(layer):
    """Whether fused does what reference does."""
    x = events(7, 3, 4, rate=0.5)
    lengths = torch.tensor([7, 2, 5])
    start = layer.zero_state(3)
    start = start._replace(z=(torch.arange(start.z.numel()) % 2).float().reshape(start.z.shape))
    if "v" in start._fields:
        start = start._replace(v=torch.linspace(-1, 1, start.v.numel()).reshape(start.v.shape))
    assert_as_reference(layer, x, lengths, start)


def silent_at_threshold(layer):
    """Neuron 0 comes to stand exactly at threshold, v = i = v_th, where it must not fire."""
    with torch.no_grad():
        layer.weight_ih_l0[0] = 0
        layer.weight_hh_l0[0] = 0
        layer.raw_tau_mem_l0[0] = float("-inf")
        layer.bias_l0[0] = 1.0
    out, _ = layer(torch.zeros(3, 1, 4))
    assert (out[:, :, 0] == 0).all()


STACK_FAULTS = {
    "gradient from above forgotten": (
        "add_dots(G_z, q, w_above, rows, 0, n, d_above[t], b)",
        "pass",
    ),
    "spikes counted twice": ("sums[h] += z", "sums[h] += f32(2.0) * z"),
    "gradient of the counts forgotten": ("+ d_totals[h]", ""),
    "spikes from below forgotten": ("add_rows(acc, w_in, columns, 0, n)", "pass"),
    "gradient of weights from below forgotten": ("add_to_rows(dw_in, columns, n, di, q)", "pass"),
}


@pytest.mark.parametrize("fault", STACK_FAULTS)
def test_a_fault_between_populations_is_rejected(fault, plain_python):
    plain_python(kernels, *STACK_FAULTS[fault], "ALIF")  # a readout has most of these not
    with pytest.raises(AssertionError):
        stack_is_its_layers()


LINK_FAULTS = {
    "links forgotten": ("add_synapses(acc, begin, target, synapses, rows, 0, n)", "pass"),
    "first links forgotten": (
        "add_synapses(acc, begin, target, synapses, rows, 0, n, S_z, q)", "pass",
    ),
    "gradient through links forgotten": (
        "add_synapse_dots(G_z, q, begin, target, synapses, rows, 0, n, di, q)", "pass",
    ),
    "gradient of links forgotten": (
        "add_to_synapses(d_synapse, begin, target, rows, n, di, q)", "pass",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", LINK_FAULTS)
def test_a_fault_of_sparse_recurrence_is_rejected(fault, plain_python):
    plain_python(kernels, *LINK_FAULTS[fault])
    with pytest.raises(AssertionError):
        sparse_recurrence(0.03)


@pytest.mark.parametrize("name", SPIKING)
def test_without_the_compiler_the_kernels_say_the_same(name, plain_python):
    agree(dyadic_layer(name, 4, 5))


@pytest.mark.parametrize("name", ["LIF", "ALIF"])
def test_a_neuron_exactly_at_threshold_does_not_fire(name, plain_python):
    silent_at_threshold(dyadic_layer(name, 4, 5))


def test_without_a_fault_every_gate_passes(plain_python):
    stack_is_its_layers()
    sparse_recurrence(0.03)
    for model in (ALIF, EIF):
        fused_agrees(model)
        stream_agrees(model)


@pytest.mark.parametrize("where", [kernels, stream_kernels], ids=lambda where: where.__name__)
def test_a_fault_that_is_not_planted_is_no_answer_of_a_gate(where, plain_python):
    plain_python(where, "a line of before", "pass")
    with pytest.raises(LookupError, match=rf"{where.__name__}\.source .*'a line of before'"):
        (fused_agrees if where is kernels else stream_agrees)(ALIF)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_rejected(fault, plain_python):
    plain_python(kernels, *FAULTS[fault])
    gate = silent_at_threshold if fault == "fires at threshold" else agree
    with pytest.raises(AssertionError):
        gate(dyadic_layer("ALIF", 4, 5))


def test_a_count_that_is_doubled_is_rejected(plain_python):
    layer = dyadic_layer("LIF", 4, 5)
    x = events(7, 2, 4).numpy()
    right = streaming.compile_stream(layer).run(x).additions
    assert right[0, 0] == int(x.sum()) * 5
    plain_python(stream_kernels, "a0 += n", "a0 += 2 * n")
    wrong = streaming.compile_stream(layer).run(x).additions
    assert wrong[0, 0] == 2 * right[0, 0]


def test_poisoned_scratch_never_shows(plain_python, monkeypatch):
    layer = dyadic_layer("ALIF", 4, 5)
    x = events(7, 3, 4)
    expected, out, _ = gradients(layer, x)
    empty, kinds = np.empty, set()

    def poisoned(shape, dtype=float):
        made = empty(shape, dtype)
        made.fill(np.nan if np.issubdtype(dtype, np.floating) else 10**6)
        kinds.add(made.dtype.kind)
        return made

    monkeypatch.setattr(np, "empty", poisoned)
    found, again, _ = gradients(layer, x)
    assert kinds == {"f", "i"}
    assert torch.equal(out, again)
    assert all(torch.equal(v, found[k]) for k, v in expected.items())


# The contract of neurons: for every law a neuron that breaks it


def mutant(step):
    """LIF with another step."""
    return replace(LIF, name=step.__name__, step=step)


def spikes_are_not_binary(p, s, i, fire):
    state, z = LIF.step(p, s, i, fire)
    return state._replace(z=0.5 * z), 0.5 * z


def output_is_not_the_state(p, s, i, fire):
    state, z = LIF.step(p, s, i, fire)
    return state._replace(z=1 - z), z


def dtype_changes(p, s, i, fire):
    state, z = LIF.step(p, s, i, fire)
    return state._replace(v=state.v.float()), z


def shape_changes(p, s, i, fire):
    state, z = LIF.step(p, s, i, fire)
    return state._replace(v=state.v.sum(1)), z


def output_comes_first(p, s, i, fire):
    return LIF.step(p, s, i, fire)[::-1]


def current_is_changed(p, s, i, fire):
    i += 1.0
    return LIF.step(p, s, i, fire)


def state_is_changed(p, s, i, fire):
    s.v.mul_(p.alpha_mem)
    return LIF.step(p, s, i, fire)


def an_if_of_many(p, s, i, fire):
    if i > 0:
        return LIF.step(p, s, i, fire)
    return LIF.step(p, s, -i, fire)


def fires_by_itself(p, s, i, fire):
    z = (i > p.v_th).float()
    return LIF.state(s.v, z), z


FORMLESS = (
    (shape_changes, r"makes v \(2,\) .* expected \(2, 5\)"),
    (output_comes_first, r"a LIFState and the output, got \(Tensor, LIFState\)"),
    (current_is_changed, "changes the current in place"),
    (state_is_changed, r"changes s\.v in place"),
    (an_if_of_many, r"torch\.where in place of an if"),
    (fires_by_itself, "never calls fire"),
)


def fires_twice(p, s, i, fire):
    state, z = LIF.step(p, s, i, fire)
    return state, z + 0.0 * fire(state.v)


def explodes(p, s, i, fire):
    state, z = LIF.step(p, s, i, fire)
    return state._replace(v=torch.exp(state.v)), z


def samples_mix(p, s, i, fire):
    return LIF.step(p, s._replace(v=s.v.mean(0, keepdim=True).expand_as(s.v)), i, fire)


def neurons_mix(p, s, i, fire):
    return LIF.step(p, s._replace(v=s.v.roll(1, dims=1)), i, fire)


def gradient_is_cut(p, s, i, fire):
    return LIF.step(p, s, i.detach(), fire)


def reset_gradient_is_cut(p, s, i, fire):
    v = p.alpha_mem * s.v + (1 - p.alpha_mem) * i - (p.v_th * s.z).detach()
    z = fire(v - p.v_th)
    return LIF.state(v, z), z


def memory_is_hidden():
    """A step that remembers, outside of its state, how often it was called."""
    calls = []

    def remembers(p, s, i, fire):
        calls.append(1)
        return LIF.step(p, s, i + len(calls), fire)

    return remembers


@pytest.mark.parametrize(
    ("step", "law"),
    [
        (spikes_are_not_binary, "spikes are 0 or 1"),
        (output_is_not_the_state, r"z is the last output'.* the state as \(v, z\)"),
        (dtype_changes, "shape and dtype are kept"),
        *FORMLESS,
        (fires_twice, "fire exactly once"),
        (explodes, "stays finite"),
        (samples_mix, "a sample alone is as in the batch"),
        (neurons_mix, "permuted neurons permute the output"),
        (gradient_is_cut, "gradients match finite differences"),
        (reset_gradient_is_cut, "gradients match finite differences"),
        (memory_is_hidden(), "chunked is whole|the future never changes the past"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_neuron_that_breaks_a_law_is_named_with_the_law(step, law):
    with pytest.raises(ContractError, match=law):
        check_neuron(mutant(step))


@pytest.mark.parametrize(
    ("step", "case"), FORMLESS, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_layer_refuses_a_step_without_form(step, case):
    with pytest.raises(InputError, match=case):
        SpikingRNN(mutant(step), 4, 5)


def test_a_layer_refuses_a_neuron_that_is_not_finite_at_rest():
    def step(p, s, i, fire):
        state, z = LIF.step(p, s, i, fire)
        return state._replace(v=torch.log(state.v)), z

    with pytest.raises(InputError, match="not stay finite without any current"):
        SpikingRNN(mutant(step), 4, 5)


def test_what_is_not_finite_is_shown_with_the_smallest_current_and_the_first_step():
    """From rest, u_{t+1} = exp(u_t) exceeds float32 at its fifth step whatever the input."""
    with pytest.raises(ContractError, match=r"v is not at step 4 under a constant current of 1$"):
        stays_finite(mutant(explodes))


ENGINE_FAULTS = {
    "fused spike": (fused_agrees, kernels, "z = truth(u > f32(0.0))", "z = truth(u > f32(0.1))"),
    "fused state": (fused_agrees, kernels, "final[0, low + q, h] = S_v[q, h]", "pass"),
    "fused gradient": (fused_agrees, kernels, "db[h] += y", "db[h] += f32(1.01) * y"),
    "stream spike": (
        stream_agrees, stream_kernels, "z = truth(u > f32(0.0))", "z = truth(u > f32(0.1))"
    ),
    "stream state": (stream_agrees, stream_kernels, "S0[0, h] =", "S0[0, h] = f32(1.01) *"),
}  # fmt: skip


@pytest.mark.parametrize("model", [ALIF, EIF], ids=lambda model: model.name)
@pytest.mark.parametrize("fault", ENGINE_FAULTS)
def test_an_engine_that_disagrees_breaks_a_law(fault, model, plain_python):
    law, where, right, wrong = ENGINE_FAULTS[fault]
    plain_python(where, right, wrong)
    with pytest.raises(ContractError, match="agrees with the reference"):
        law(model)


def test_a_last_place_of_an_exponential_is_no_fault(plain_python):
    """Two units in the last place more than the exponential of the other engine."""
    plain_python(kernels, "= exponential(", "= f32(1.00000024) * exponential(")
    fused_agrees(EIF)


def test_an_exponential_that_is_further_off_is_a_fault(plain_python):
    """Else the test above would prove nothing."""
    plain_python(kernels, "= exponential(", "= f32(1.01) * exponential(")
    with pytest.raises(ContractError, match="agrees with the reference"):
        fused_agrees(EIF)


# Counts: each fault makes the count differ from brute force


def recurrence_twice(right):
    def connect(x, target, kind, *rest):
        c = right(x, target, kind, *rest)
        return replace(c, ops=tuple(2 * n for n in c.ops)) if kind == "recurrent" else c

    return connect


def one_step_late(right):
    """The sums over all steps stay as they are."""

    def connect(*args):
        c = right(*args)
        return replace(c, ops=c.ops[-1:] + c.ops[:-1])

    return connect


COUNT_FAULTS = {
    "recurrence counted twice": ("connect", recurrence_twice),
    "zero weights count": (
        "connect",
        lambda right: lambda x, to, kind, w, n: right(x, to, kind, torch.ones_like(w), n),
    ),
    "padding counts": (
        "connect",
        lambda right: lambda x, to, kind, w, n: right(x, to, kind, w, torch.ones_like(n)),
    ),
    "counted at the wrong step": ("connect", one_step_late),
    "last spikes arrive": ("delayed", lambda right: lambda z: z),
    "neuron updates dropped": ("update_ops", lambda right: lambda model: {}),
}


@pytest.mark.parametrize("fault", COUNT_FAULTS)
def test_a_wrong_count_is_rejected(fault, monkeypatch):
    name, plant = COUNT_FAULTS[fault]
    counts_equal_brute_force("ALIF", True, 1)
    monkeypatch.setattr(spiking, name, plant(getattr(spiking, name)))
    with pytest.raises(AssertionError):
        counts_equal_brute_force("ALIF", True, 1)


def without(kind):
    """A planter: connections of this kind are counted as none."""

    def plant(right):
        def connect(x, target, what, *rest):
            c = right(x, target, what, *rest)
            return replace(c, ops=(0,) * len(c.ops)) if what == kind else c

        return connect

    return plant


STANDARD_FAULTS = {
    "projection forgotten": ("connect", without("projection")),
    "recurrence forgotten": ("connect", without("recurrent")),
    "gates forgotten": ("gates", lambda right: lambda module: {}),
}


@pytest.mark.parametrize("fault", STANDARD_FAULTS)
def test_a_wrong_count_of_a_standard_network_is_rejected(fault, monkeypatch):
    name, plant = STANDARD_FAULTS[fault]
    shape = {"proj_size": 2, "num_layers": 2, "bidirectional": True}
    directions_equal_brute_force(nn.LSTM, shape)
    monkeypatch.setattr(standard, name, plant(getattr(standard, name)))
    with pytest.raises(AssertionError):
        directions_equal_brute_force(nn.LSTM, shape)


def forgotten(kind, what):
    """A planter: no array of this kind is read or written."""

    def plant(right):
        return lambda *args: [
            a._replace(**{what: 0}) if a.kind == kind else a for a in right(*args)
        ]

    return plant


MEMORY_FAULTS = {
    "states are not written back": ("layer_arrays", forgotten("states", "writes")),
    "biases are free": ("layer_arrays", forgotten("biases", "reads")),
    "spikes are not queued": ("layer_arrays", forgotten("queue", "writes")),
    "the queue is not read": ("connection_arrays", forgotten("queue", "reads")),
    "indices are free": ("connection_arrays", forgotten("indices", "reads")),
    "zeros cost nothing to pass over": ("row_reads", lambda right: lambda c, bits: sum(c.ops)),
    "nothing is read and modified": ("row_reads", lambda right: lambda c, bits: 0),
}


@pytest.mark.parametrize("fault", MEMORY_FAULTS)
def test_wrong_memory_traffic_is_rejected(fault, monkeypatch):
    def gate():
        for sparse in (False, True):
            traffic_equals_brute_force("read-modify-write", sparse)

    name, plant = MEMORY_FAULTS[fault]
    gate()
    monkeypatch.setattr(memory, name, plant(getattr(memory, name)))
    with pytest.raises(AssertionError):
        gate()
