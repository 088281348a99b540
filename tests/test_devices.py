"""Other devices than the CPU, without one: what is asked of them, and what is refused.

A program runs ahead of a GPU, until it asks for a value.
"""

import importlib.util
import subprocess
import sys
import types

import pytest
import torch
from engine_cases import events
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from spikern import __main__ as cli
from spikern._utils.errors import InputError, UnsupportedError
from spikern.engines import triton
from spikern.events.trains import Events
from spikern.layers import arguments
from spikern.layers.baseline import Baseline
from spikern.layers.network import build
from spikern.layers.rnn import SpikingRNN
from spikern.neurons.lif import LIF
from spikern.neurons.surrogate import triangular
from spikern.train.augmentation import add_noise, shift_channels, stretch_time

ATEN = torch.ops.aten
TOPOLOGIES = {
    "a stack": {"num_layers": 2},
    "sparse feedback": {"hidden_size": [60, 1], "feedback": True, "recurrent": False},
    "both directions and skip": {"num_layers": 2, "bidirectional": True, "dropout": 0.5},
    "skip": {"num_layers": 3, "skip": True},
    "delays": {"delay": 3, "recurrent_delay": 3},
    "learned delays": {"delay": 3, "recurrent_delay": 3, "learn_delays": True},
}


def on_gpu(layer):
    """The layer with fake tensors of a GPU in place of its own."""
    return layer._apply(lambda t: torch.empty(t.shape, dtype=t.dtype, device="cuda"))


class Waiting(TorchDispatchMode):
    """Refuses the operations whose result, or its size, the program must wait for."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        kind = func.overloadpacket
        assert kind not in (ATEN._local_scalar_dense, ATEN.nonzero, ATEN.equal), func
        if kind is ATEN.repeat_interleave:
            assert kwargs["output_size"] is not None
        if kind in (ATEN.index, ATEN.index_put, ATEN.index_put_):
            assert not any(i is not None and i.dtype == torch.bool for i in args[1])
        return func(*args, **kwargs)


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("settings", TOPOLOGIES.values(), ids=TOPOLOGIES)
def test_nothing_in_a_step_or_its_gradient_waits_for_a_gpu(settings, listed, monkeypatch):
    """On the CPU, where what a GPU would be spared is spared."""
    monkeypatch.setattr(arguments, "runs_ahead", lambda x: True)
    layer = SpikingRNN("ALIF", 3, **{"hidden_size": 20} | settings, engine="reference")
    x = Events.from_dense(events(4, 2, 3)) if listed else events(4, 2, 3)
    with Waiting():
        out, state = layer(x, layer.zero_state(2), torch.tensor([4, 2]))
        out, _ = layer(x, state)
        out.sum().backward()
        layer.eval()(x)
    assert layer.weight_ih_l0.grad is not None


@pytest.mark.parametrize(
    ("settings", "there", "expected"),
    [
        ({}, True, "triton"),
        ({}, False, "reference"),
        ({"recurrent_delay": 3}, True, "reference"),
        ({"dtype": torch.float64}, True, "reference"),
    ],
)
def test_auto_is_triton_on_a_gpu_where_it_can_be(settings, there, expected, monkeypatch):
    layer = SpikingRNN("ALIF", 3, 20, device="meta", **settings)
    monkeypatch.setattr(triton, "installed", lambda: there)
    with FakeTensorMode(), torch.no_grad():
        assert on_gpu(layer).engine == expected


def test_triton_on_the_cpu_is_refused():
    with pytest.raises(UnsupportedError, match=r"runs float32 on CUDA, not torch\.float32 on cpu"):
        SpikingRNN("LIF", 3, 4, engine="triton")(events(5, 2, 3))


def test_auto_without_triton_says_what_to_install(monkeypatch):
    triton.installed.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.warns(UserWarning, match=r"is the reference: triton is not .*spikern\[gpu\]"):
        assert not triton.supports(LIF, triangular())
    triton.installed.cache_clear()


def test_auto_with_an_older_triton_says_so(monkeypatch):
    triton.installed.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    old = types.SimpleNamespace(__version__="3.5.1")
    monkeypatch.setattr(triton, "require", lambda package, extra: old)
    with pytest.warns(UserWarning, match=r"triton 3\.5\.1 is older than 3\.6; .*spikern\[gpu\]"):
        assert not triton.installed()
    triton.installed.cache_clear()


def of(kind):
    return SpikingRNN("LIF", 3, 4) if kind == "spiking" else Baseline("LSTM", 3, 4)


@pytest.mark.parametrize("kind", ["spiking", "standard"])
def test_values_on_two_devices_are_refused(kind):
    layer, x = of(kind), events(5, 2, 3)
    _, state = layer(x)
    elsewhere = type(state)(*(f.to("meta") for f in state)) if kind == "spiking" else state
    with pytest.raises(InputError, match="expected the input on cpu like the weights, got meta"):
        layer(x.to("meta"))
    with pytest.raises(InputError, match="expected the input on meta like the weights, got cpu"):
        of(kind).to("meta")(x)
    if kind == "standard":
        elsewhere = tuple(f.to("meta") for f in state)
    with pytest.raises(InputError, match=r"expected .*state.* on cpu like the weights, got meta"):
        layer(x, elsewhere)


@pytest.mark.parametrize("settings", TOPOLOGIES.values(), ids=TOPOLOGIES)
def test_a_layer_of_the_meta_device_tells_its_shapes(settings):
    layer = SpikingRNN("ALIF", 3, **{"hidden_size": 20} | settings, device="meta")
    x, lengths = torch.empty(4, 2, 3, device="meta"), torch.ones(2, dtype=torch.int64).to("meta")
    out, state = layer(x, None, lengths)
    expected, _ = SpikingRNN("ALIF", 3, **{"hidden_size": 20} | settings)(torch.zeros(4, 2, 3))
    assert (out.device.type, out.shape) == ("meta", expected.shape)
    assert layer(x, state)[0].shape == out.shape
    out.sum().backward()
    assert layer.weight_ih_l0.grad.is_meta


@pytest.mark.parametrize("settings", [{}, {"experts": 4, "awake": 2}])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_standard_layer_of_the_meta_device_tells_its_shapes(kind, settings):
    out, _ = Baseline(kind, 3, 4, **settings).to("meta")(torch.empty(5, 2, 3, device="meta"))
    assert (out.device.type, out.shape) == ("meta", (5, 2, 4))


def test_augmentation_happens_where_the_batch_is():
    generator = torch.Generator().manual_seed(0)
    x, lengths = events(5, 2, 3).to("meta"), torch.tensor([5, 2], device="meta")
    changed = [
        add_noise(x, torch.ones(5, 2, dtype=torch.bool, device="meta"), 0.1, generator),
        shift_channels(x, 1, generator),
        *stretch_time(x, lengths, 0.5, generator),
    ]
    assert {value.device.type for value in changed} == {"meta"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="for a computer without a GPU")
def test_a_comparison_on_a_gpu_that_is_not_there_ends_with_one_line(capsys, tmp_path):
    with pytest.raises(SystemExit) as ended:
        cli.main(["compare", "digits", "--device", "cuda", "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "cuda" in line]
    assert len(lines) == 1
    assert lines[0].startswith("spikern: the network cannot be moved to cuda: ")
    assert not (tmp_path / "out").exists()


HALF = """
import os, sys, torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from spikern import build

rank, place, engine = int(sys.argv[1]), sys.argv[2], sys.argv[3]
torch.set_num_threads(1)
distributed.init_process_group("gloo", init_method=f"file://{place}/meet", rank=rank, world_size=2)
torch.manual_seed(rank)  # the weights of the first process are those of both
network = build("ALIF", 3, 16, 2, num_layers=2, engine=engine)
parallel = DistributedDataParallel(network)
x, y = torch.load(f"{place}/batch.pt")
for _ in range(2):
    logits, _ = parallel(x[:, rank::2])
    parallel.zero_grad()
    torch.nn.functional.cross_entropy(logits, y[rank::2]).backward()
torch.save([network.state_dict(), [p.grad for p in network.parameters()]], f"{place}/{rank}.pt")
os._exit(0)  # a thread of gloo releases the last sum, and aborts where the interpreter is ending
"""


@pytest.mark.slow
def test_two_processes_have_the_gradient_of_the_whole_batch(tmp_path):
    x, y = events(30, 6, 3), torch.tensor([0, 1, 1, 0, 1, 0])
    torch.save((x, y), tmp_path / "batch.pt")
    arguments = [[sys.executable, "-c", HALF, str(k), str(tmp_path), "fused"] for k in range(2)]
    processes = [subprocess.Popen(a, stderr=subprocess.PIPE, text=True) for a in arguments]
    ended = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    (weights, first), (_, second) = (torch.load(tmp_path / f"{k}.pt") for k in range(2))
    network = build("ALIF", 3, 16, 2, num_layers=2, engine="fused")
    network.load_state_dict(weights)
    torch.nn.functional.cross_entropy(network(x)[0], y).backward()
    for one, other, parameter in zip(first, second, network.parameters()):
        assert torch.equal(one, other)
        # three samples a process are summed in another order than six in one
        assert torch.allclose(one, parameter.grad, rtol=1e-4, atol=1e-6)
