"""Every gate is seen to fail once: faults planted in the kernels are rejected.

The kernels run here as plain Python, without numba's compiler, which is a test of its own.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_cases import SPIKING, alternating, assert_as_reference, dyadic_layer, events, gradients
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
from spikern.cost import count, memory, spiking, standard
from spikern.engines import fused
from spikern.engines.codegen import kernels, stream_kernels
from spikern.layers import streaming
from spikern.layers.rnn import SpikingRNN
from spikern.neurons.alif import ALIF
from spikern.neurons.eif import EIF
from spikern.neurons.lif import LIF
from spikern.testing import (
    ContractError,
    check_neuron,
    fused_agrees,
    gradient_difference,
    stays_finite,
    stream_agrees,
)


def agree(layer=None):
    """Whether fused does what reference does."""
    layer = layer or dyadic_layer("ALIF", 4, 5)
    x = events(7, 3, 4, rate=0.5)
    lengths = torch.tensor([7, 2, 5])
    start = alternating(layer, 3)
    if "v" in start._fields:
        start = start._replace(v=torch.linspace(-1, 1, start.v.numel()).reshape(start.v.shape))
    assert_as_reference(layer, x, lengths, start)


def long_agrees():
    """The same over three segments of the backward pass."""
    layer = dyadic_layer("ALIF", 4, 5)
    x = events(40, 3, 4, rate=0.5)
    assert_as_reference(layer, x, torch.tensor([40, 33, 16]), alternating(layer, 3))


def wide_stack_is_its_layers():
    """The stack, its populations wide enough for dot products with the rows above."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "FEW", 0)
        stack_is_its_layers()


def silent_at_threshold(name="ALIF"):
    """Neuron 0 comes to stand exactly at threshold, v = i = v_th, where it must not fire."""
    layer = dyadic_layer(name, 4, 5)
    with torch.no_grad():
        layer.weight_ih_l0[0] = 0
        layer.weight_hh_l0[0] = 0
        layer.raw_tau_mem_l0[0] = -40.0  # so short that nothing of v is left
        layer.bias_l0[0] = 1.0
    out, _ = layer(torch.zeros(3, 1, 4))
    assert (out[:, :, 0] == 0).all()


def sparse_agrees():
    sparse_recurrence(0.03)


# For each fault: the gate that rejects it, the text of the kernel, and what replaces it
FAULTS = {
    "reset gradient dropped": (agree, "G_z[q, h] = bx_add_8", "G_z[q, h] = f32(0.0)"),
    "recurrence off by one": (
        agree,
        "fired = note(z_sources, z_places, z_given, fired, e, rows, 0, 0, n)",
        "fired = note(z_sources, z_places, z_given, fired, e - size, rows, 0, 0, n)",
    ),
    "fires at threshold": (
        silent_at_threshold, "z = truth(u > f32(0.0))", "z = truth(u >= f32(0.0))"
    ),
    "state leaks between samples": (
        agree, "S_v[q, h] = start[0, low + q, h]", "S_v[q, h] = S_v[0, h]"
    ),
    "recurrence forgotten": (agree, "add_rows(acc, 0, w_rec, rows, 0, 0, n)", "pass"),
    "recurrent gradient forgotten": (
        agree, "add_dots(G_z, q0, masks, w_rec, di, later + q0)", "pass"
    ),
    "gradient of recurrent weights forgotten": (
        agree, "add_to_rows(dw_rec, z_ends, to, times, di)", "pass"
    ),
    "gradient of weights forgotten": (
        agree, "add_to_rows(dw_in, ends, to, times, di)", "pass"
    ),
    "gradient of the step after the next": (
        agree, "later = (t - first_step) * size", "later = (t + 1 - first_step) * size"
    ),
    "a segment does not hand on its gradient": (
        long_agrees, "di[every * size + q, h] = di[q, h]", "pass"
    ),
    "padding runs on": (agree, "if t >= lengths[b]:", "if t > lengths[b]:"),
    "bias gradient twice": (agree, "db[h] += y", "db[h] += f32(2.0) * y"),
    "initial spikes forgotten": (
        agree, "add_rows(acc, 0, w_rec, rows, 0, 0, n, initial)", "pass"
    ),
    "gradient from above forgotten": (
        stack_is_its_layers,
        "add_rows(G_z, q, w_up, None, low + q, 0, w_up.shape[0], d_above[t])", "pass",
    ),
    "gradient from a wide population above forgotten": (
        wide_stack_is_its_layers,
        "add_dots(G_z, q0, masks, w_above, d_above[t], low + q0)", "pass",
    ),
    "spikes counted twice": (stack_is_its_layers, "sums[h] += z", "sums[h] += f32(2.0) * z"),
    "gradient of the counts forgotten": (stack_is_its_layers, "+ d_totals[h]", ""),
    "spikes from below forgotten": (
        stack_is_its_layers, "add_rows(acc, 0, w_in, columns, 0, 0, n)", "pass"
    ),
    "gradient of weights from below forgotten": (
        stack_is_its_layers,
        "arrived = note(sources, places, given, arrived, e, columns, 0, 0, n)", "pass",
    ),
    "sparse synapses forgotten": (
        sparse_agrees, "add_synapses(acc, begin, target, synapses, rows, 0, n)", "pass"
    ),
    "first sparse synapses forgotten": (
        sparse_agrees,
        "add_synapses(acc, begin, target, synapses, rows, 0, n, initial)", "pass",
    ),
    "gradient through sparse synapses forgotten": (
        sparse_agrees,
        "min(64, size - q0), turned", "0, turned",
    ),
    "gradient of sparse synapses forgotten": (
        sparse_agrees, "add_to_synapses(d_synapse, begin, target, z_ends, to, times, di)", "pass"
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_rejected(fault, plain_python):
    gate, right, wrong = FAULTS[fault]
    plain_python(kernels, right, wrong, "ALIF")  # the kernel of a readout lacks most of these
    with pytest.raises(AssertionError):
        gate()


def test_gates_that_are_not_in_other_files_pass():
    long_agrees()
    wide_stack_is_its_layers()


@pytest.mark.parametrize("name", SPIKING)
def test_without_the_compiler_the_kernels_say_the_same(name, plain_python):
    agree(dyadic_layer(name, 4, 5))


@pytest.mark.parametrize("name", ["LIF", "ALIF"])
def test_a_neuron_exactly_at_threshold_does_not_fire(name, plain_python):
    silent_at_threshold(name)


def test_without_a_fault_every_gate_passes(plain_python):
    stack_is_its_layers()
    sparse_agrees()
    for model in (ALIF, EIF):
        fused_agrees(model)
        stream_agrees(model)


@pytest.mark.parametrize("where", [kernels, stream_kernels], ids=lambda where: where.__name__)
def test_a_fault_that_is_not_planted_is_no_answer_of_a_gate(where, plain_python):
    plain_python(where, "a line of before", "pass")
    with pytest.raises(LookupError, match=rf"{where.__name__}\.source .*'a line of before'"):
        (fused_agrees if where is kernels else stream_agrees)(ALIF)


def additions_are_counted():
    layer = dyadic_layer("LIF", 4, 5)
    x = events(7, 2, 4)
    found = streaming.compile_stream(layer).run(x.numpy()).additions.sum()
    assert found == count(layer, x, events=True).ops.ac > 0


def test_a_count_that_is_doubled_is_rejected(plain_python):
    additions_are_counted()
    plain_python(stream_kernels, "a0 += n", "a0 += 2 * n")
    with pytest.raises(AssertionError):
        additions_are_counted()


def test_poisoned_scratch_never_shows(plain_python, monkeypatch):
    layer = dyadic_layer("ALIF", 4, 5)
    x = events(7, 3, 4)
    expected, out, _ = gradients(layer, x)
    empty, kinds = np.empty, set()

    def poisoned(shape, dtype=float):
        array = empty(shape, dtype)
        array.fill(np.nan if np.issubdtype(dtype, np.floating) else 10**6)
        kinds.add(array.dtype.kind)
        return array

    monkeypatch.setattr(np, "empty", poisoned)
    actual, again, _ = gradients(layer, x)
    assert kinds == {"f", "i"}
    assert torch.equal(out, again)
    assert all(torch.equal(v, actual[k]) for k, v in expected.items())


# The contract of neurons: for every law a neuron that breaks it


def mutant(step):
    """LIF with another step."""
    return replace(LIF, name="mutant", step=step)


def after(change):
    """The step of LIF, then a change of the state and the output."""
    return lambda p, s, i, fire: change(*LIF.step(p, s, i, fire))


def fires_by_itself(p, s, i, fire):
    z = (i > p.v_th).float()
    return LIF.state(s.v, z), z


def fires_twice(p, s, i, fire):
    state, z = LIF.step(p, s, i, fire)
    return state, z + 0.0 * fire(state.v)


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


explodes = after(lambda state, z: (state._replace(v=torch.exp(state.v)), z))

WITHOUT_FORM = {
    "shape changes": (
        after(lambda state, z: (state._replace(v=state.v.sum(1)), z)),
        r"makes v \(2,\) .* expected \(2, 5\)",
    ),
    "output comes first": (
        after(lambda state, z: (z, state)),
        r"a LIFState and the output, got \(Tensor, LIFState\)",
    ),
    "current is changed": (
        lambda p, s, i, fire: LIF.step(p, s, i.add_(1.0), fire),
        "changes the current in place",
    ),
    "state is changed": (
        lambda p, s, i, fire: LIF.step(p, s._replace(v=s.v.mul_(p.alpha_mem)), i, fire),
        r"changes s\.v in place",
    ),
    "an if of many": (
        lambda p, s, i, fire: LIF.step(p, s, i if i > 0 else -i, fire),
        r"torch\.where in place of an if",
    ),
    "fires by itself": (fires_by_itself, "never calls fire"),
}
MUTANTS = WITHOUT_FORM | {
    "spikes are not binary": (
        after(lambda state, z: (state._replace(z=0.5 * z), 0.5 * z)),
        "spikes are 0 or 1",
    ),
    "output is not the state": (
        after(lambda state, z: (state._replace(z=1 - z), z)),
        r"z is the last output'.* the state as \(v, z\)",
    ),
    "dtype changes": (
        after(lambda state, z: (state._replace(v=state.v.float()), z)),
        "shape and dtype are kept",
    ),
    "fires twice": (fires_twice, "fire exactly once"),
    "explodes": (explodes, "stays finite"),
    "samples mix": (
        lambda p, s, i, fire: LIF.step(
            p, s._replace(v=s.v.mean(0, keepdim=True).expand_as(s.v)), i, fire
        ),
        "a sample alone is as in the batch",
    ),
    "neurons mix": (
        lambda p, s, i, fire: LIF.step(p, s._replace(v=s.v.roll(1, dims=1)), i, fire),
        "neurons do not meet in a step",
    ),
    "neurons have numbers": (
        lambda p, s, i, fire: LIF.step(p, s, i * torch.arange(1, 1 + i.shape[1]), fire),
        "permuted neurons permute the output",
    ),
    "gradient is cut": (
        lambda p, s, i, fire: LIF.step(p, s, i.detach(), fire),
        "gradients match finite differences",
    ),
    "reset gradient is cut": (reset_gradient_is_cut, "gradients match finite differences"),
    "memory is hidden": (
        memory_is_hidden(),
        "chunked is whole|the future never changes the past",
    ),
}


@pytest.mark.parametrize(("step", "law"), MUTANTS.values(), ids=MUTANTS)
def test_a_neuron_that_breaks_a_law_is_named_with_the_law(step, law):
    with pytest.raises(ContractError, match=law):
        check_neuron(mutant(step))


@pytest.mark.parametrize(("step", "case"), WITHOUT_FORM.values(), ids=WITHOUT_FORM)
def test_a_layer_refuses_a_step_without_form(step, case):
    with pytest.raises(InputError, match=case):
        SpikingRNN(mutant(step), 4, 5)


def test_a_layer_refuses_a_neuron_that_is_not_finite_at_rest():
    step = after(lambda state, z: (state._replace(v=torch.log(state.v)), z))
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


def a_step_too_late(right):
    """The sums over all steps stay as they are."""

    def connect(*args):
        c = right(*args)
        return replace(c, ops=c.ops[-1:] + c.ops[:-1])

    return connect


def without(kind):
    """A planter: connections of this kind are counted as none."""

    def plant(right):
        def connect(x, target, what, *rest):
            c = right(x, target, what, *rest)
            return replace(c, ops=(0,) * len(c.ops)) if what == kind else c

        return connect

    return plant


def forgotten(kind, what):
    """A planter: no array of this kind is read or written."""

    def plant(right):
        return lambda *args: [
            a._replace(**{what: 0}) if a.kind == kind else a for a in right(*args)
        ]

    return plant


def counts():
    counts_equal_brute_force("ALIF", True, 1)


def standard_counts():
    shape = {"proj_size": 2, "num_layers": 2, "bidirectional": True}
    directions_equal_brute_force(nn.LSTM, shape)


def traffic():
    for sparse in (False, True):
        traffic_equals_brute_force("read-modify-write", sparse)


# For each fault: the gate that rejects it, the function, and what replaces it
COUNT_FAULTS = {
    "recurrence counted twice": (counts, spiking, "connect", recurrence_twice),
    "zero weights count": (
        counts, spiking, "connect",
        lambda right: lambda x, to, kind, w, *n: right(x, to, kind, torch.ones_like(w), *n),
    ),
    "padding counts": (
        counts, spiking, "connect",
        lambda right: lambda x, to, kind, w, n, *o: right(x, to, kind, w, torch.ones_like(n), *o),
    ),
    "counted at the wrong step": (counts, spiking, "connect", a_step_too_late),
    "last spikes arrive": (
        counts, spiking, "one_step_later", lambda right: lambda signal, *rest: signal
    ),
    "neuron updates dropped": (counts, spiking, "update_ops", lambda right: lambda model: {}),
    "projection forgotten": (standard_counts, standard, "connect", without("projection")),
    "LSTM recurrence forgotten": (standard_counts, standard, "connect", without("recurrent")),
    "gates forgotten": (standard_counts, standard, "gates", lambda right: lambda module: {}),
    "states are not written back": (
        traffic, memory, "layer_arrays", forgotten("states", "writes")
    ),
    "biases are free": (traffic, memory, "layer_arrays", forgotten("biases", "reads")),
    "spikes are not queued": (traffic, memory, "layer_arrays", forgotten("queue", "writes")),
    "the queue is not read": (traffic, memory, "connection_arrays", forgotten("queue", "reads")),
    "indices are free": (traffic, memory, "connection_arrays", forgotten("indices", "reads")),
    "zeros cost nothing to pass over": (
        traffic, memory, "row_reads", lambda right: lambda c, bits: sum(c.ops)
    ),
    "nothing is read and modified": (
        traffic, memory, "row_reads", lambda right: lambda c, bits: 0
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", COUNT_FAULTS)
def test_a_wrong_count_is_rejected(fault, monkeypatch):
    gate, where, name, plant = COUNT_FAULTS[fault]
    gate()
    monkeypatch.setattr(where, name, plant(getattr(where, name)))
    with pytest.raises(AssertionError):
        gate()


@pytest.mark.usefixtures("plain_python")
@pytest.mark.parametrize("threshold", [0.05, 20.0])
def test_a_neuron_may_have_any_threshold(threshold):
    check_neuron(LIF.with_constants(v_th=threshold))


def test_a_gradient_that_is_not_a_number_differs(monkeypatch):
    layer = dyadic_layer("LIF", 4, 5)
    x = events(12, 3, 4)
    assert not gradient_difference(layer, layer, x)
    taken = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *a: tuple(g * math.nan for g in taken(*a)))
    assert "differs by nan" in gradient_difference(layer, layer, x)
