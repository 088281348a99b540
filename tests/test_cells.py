"""The kernels of the standard cells against torch's own RNN, GRU and LSTM."""

import numpy as np
import pytest
import torch

from spikern._utils.errors import InputError, UnsupportedError
from spikern.engines import cells
from spikern.engines.cells import CELLS, EVERY
from spikern.engines.codegen import cell_kernels, runtime
from spikern.layers.baseline import Baseline

KINDS = pytest.mark.parametrize("kind", CELLS)


def result(layer, x, lengths, start):
    """Output, final state and all gradients by name."""
    layer.zero_grad()
    x = x.clone().requires_grad_()
    start = None if start is None else [s.clone().requires_grad_() for s in start]
    given = None if start is None else start[0] if len(start) == 1 else tuple(start)
    out, after = layer(x, given, lengths)
    after = after if isinstance(after, tuple) else (after,)
    weights = torch.linspace(-1, 1, out.numel()).reshape(out.shape)
    ((out * weights).sum() + sum((a * a).sum() for a in after)).backward()
    gradients = {name: p.grad.clone() for name, p in layer.named_parameters()} | {"x": x.grad}
    gradients |= {f"start {k}": s.grad for k, s in enumerate(start or ())}
    return {"out": out, **{f"after {k}": a for k, a in enumerate(after)}}, gradients


def assert_as_torch(kind, layers=1, batch=11, steps=2 * EVERY + 3, hidden=13, lengths=None):
    """The same as in float64, which torch runs, to the rounding of float32."""
    torch.manual_seed(0)
    layer, x = Baseline(kind, 5, hidden, layers), torch.randn(steps, batch, 5)
    parts = len(CELLS[kind].state)
    start = [torch.randn(layers, batch, hidden) / 2 for _ in range(parts)] if lengths else None
    lengths = torch.tensor((lengths * batch)[:batch]) if lengths else None
    assert layer.engine == "fused"
    actual = result(layer, x, lengths, start)
    layer.double()
    assert layer.engine == "torch"
    exact = result(layer, x.double(), lengths, start and [s.double() for s in start])
    # the gradient of a step adds up hundreds of products of float32, and is handed on by 35 steps
    for values, expected in zip(actual, exact):
        assert values.keys() == expected.keys()
        for name, value in values.items():
            scale = float(expected[name].detach().abs().max())
            torch.testing.assert_close(value.double(), expected[name], rtol=0, atol=1e-5 * scale)


@KINDS
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("lengths", [None, [2 * EVERY + 3, 1, 7]])
def test_outputs_states_and_gradients_are_torchs(kind, layers, lengths):
    assert_as_torch(kind, layers, lengths=lengths)


@pytest.mark.parametrize(("batch", "hidden"), [(1, 1), (8, 16), (9, 33), (40, 70)])
def test_every_size_of_batch_and_layer(batch, hidden):
    assert_as_torch("GRU", batch=batch, hidden=hidden, steps=5)


FAULTS = {
    "the state before is the one after": ("states_h[t - 1]", "states_h[t]"),
    "recurrence has the input's gradient": ("dw, sources, D_r[:n]", "dw, sources, D_i[:n]"),
    "the gates change places": ("i_1 = acc_i[q, 1 * hidden + j]", "i_1 = acc_i[q, j]"),
    "a product of the step before": ("G_h, D_r[n : n + size]", "G_h, D_r[: size]"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault, plain_python, monkeypatch):
    monkeypatch.setattr(cells, "source", cells.source.__wrapped__)
    sizes = {"batch": 3, "hidden": 4}
    assert_as_torch("GRU", **sizes)
    plain_python(cell_kernels, *FAULTS[fault])
    with pytest.raises(AssertionError):
        assert_as_torch("GRU", **sizes)


@KINDS
def test_threads_change_no_bit(kind):
    layer, x = Baseline(kind, 3, 20), torch.randn(30, 40, 3)
    threads = torch.get_num_threads()
    results = []
    for count in (1, 2):
        torch.set_num_threads(count)
        results.append(result(layer, x, None, None))
    torch.set_num_threads(threads)
    for first, second in zip(*results):
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_transforms_and_second_derivatives():
    """torch's own cells have the transforms; kernels have first derivatives and say so."""
    layer, x = Baseline("GRU", 3, 4), torch.randn(5, 2, 3)
    by_transform = torch.func.grad(lambda x: layer(x)[0].sum())(x)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(layer(x)[0].sum(), x, create_graph=True)
    torch.testing.assert_close(gradient, by_transform)
    with pytest.raises(
        UnsupportedError, match=r"first derivatives only; .* `layer\.rnn`, which is"
    ):
        gradient.sum().backward()
    (gradient,) = torch.autograd.grad(layer.rnn(x)[0].sum(), x, create_graph=True)
    gradient.sum().backward()
    x = x.detach().double().requires_grad_()
    (gradient,) = torch.autograd.grad(layer.double()(x)[0].sum(), x, create_graph=True)
    gradient.sum().backward()


def test_the_operator_keeps_torchs_contract():
    layer, x = Baseline("LSTM", 3, 4), torch.randn(5, 2, 3, requires_grad=True)
    weights = list(layer.rnn.parameters())
    start = torch.zeros(2, 2, 4, requires_grad=True)
    torch.library.opcheck(torch.ops.spikern.run_cell.default, ("LSTM", x, *weights, start))


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_a_state_of_another_shape_is_refused(kind):
    layer, x = Baseline(kind, 3, 4), torch.zeros(5, 2, 3)
    wrong = torch.zeros(1, 3, 4)
    with pytest.raises(InputError, match=r"shape \(layers, batch, units\) = \(1, 2, 4\), got"):
        layer(x, wrong if kind == "GRU" else (wrong, wrong))


def test_a_state_of_another_cell_is_refused():
    x, h = torch.zeros(5, 2, 3), torch.zeros(1, 2, 4)
    with pytest.raises(InputError, match="the state of LSTM is h, c, got 1 parts"):
        Baseline("LSTM", 3, 4)(x, h)
    with pytest.raises(InputError, match="the state of GRU is h, got 2 parts"):
        Baseline("GRU", 3, 4)(x, (h, h))


def test_the_hyperbolic_tangent_is_within_two_units_in_the_last_place():
    x = np.concatenate([np.linspace(-12, 12, 4001), [0.0, 1e-30, 0.625, -0.625, np.inf, -np.inf]])
    x = x.astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        actual = np.array([runtime.tangent(v) for v in x])
    exact = np.tanh(x.astype(np.float64))
    assert (np.abs(actual - exact) <= 2 * np.spacing(np.abs(exact).astype(np.float32))).all()
    assert np.isnan(runtime.tangent(np.float32(np.nan)))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ((torch.zeros(1, 2, 8), None), "part 1 of the state must be a tensor, got NoneType"),
        (
            (torch.zeros(1, 2, 8), torch.zeros(1, 2, 8).double()),
            r"must be of torch\.float32, got torch\.float64",
        ),
    ],
)
def test_a_state_of_another_kind_is_refused(state, message):
    with pytest.raises(InputError, match=message):
        Baseline("LSTM", 3, 8)(torch.zeros(4, 2, 3), state)
