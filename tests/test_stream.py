"""The stream engine against the fused and reference engines, its counts, its file."""

import copy
import json
import pickle
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_cases import SPIKING, dyadic_layer, events

from spikern._utils import tensor_file
from spikern._utils.errors import DataError, InputError, UnsupportedError
from spikern.data.task import Task
from spikern.data.transforms import Transform
from spikern.engines.stream_loading import load_stream
from spikern.layers.network import Network, build
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.layers.streaming import compile_stream
from spikern.neurons import NEURONS
from spikern.testing import difference, with_engine


def network(name, features=6, hidden=17, layers=2, classes=3):
    body = dyadic_layer(name, features, hidden, layers)
    readout = dyadic_layer("LI", hidden, classes)
    assert isinstance(readout, Readout)
    return Network(body, readout, "every_step")


@pytest.mark.usefixtures("mostly_plain")
@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize(("steps", "batch", "hidden"), [(1, 1, 1), (40, 3, 5), (40, 21, 33)])
def test_one_population_has_the_references_bits(name, steps, batch, hidden):
    layer = dyadic_layer(name, 6, hidden)
    x = events(steps, batch, 6)
    stream = compile_stream(layer)
    result = stream.run(x.numpy())
    fields = stream.fields(result.state)[0]
    after = layer.neuron.state(**{k: torch.from_numpy(v)[None] for k, v in fields.items()})
    assert not difference(layer, x, [torch.from_numpy(result.out)], after)


@pytest.mark.usefixtures("mostly_plain")
@pytest.mark.parametrize("name", SPIKING)
def test_a_network_whole_chunked_and_step_by_step(name):
    net = network(name)
    x = events(30, 4, 6)
    expected = net(x)[0].detach().numpy()
    stream = compile_stream(net)
    whole = stream.run(x.numpy())
    assert np.array_equal(whole.out, expected)
    first = stream.run(x[:11].numpy())
    second = stream.run(x[11:].numpy(), first.state)
    assert np.array_equal(np.concatenate([first.out, second.out]), whole.out)
    assert np.array_equal(first.additions + second.additions, whole.additions)
    stream.additions[:] = 0
    for b in range(4):
        state = stream.zero_state()
        steps = [stream.step(x[t, b].numpy(), state).copy() for t in range(30)]
        assert np.array_equal(np.stack(steps), whole.out[:, b])
        assert np.array_equal(state[0], whole.state[b])
    assert np.array_equal(stream.additions, whole.additions)


@pytest.mark.parametrize("recurrent", ["diagonal", 0.03, 0.3])
def test_sparse_recurrence_and_its_file(recurrent, tmp_path):
    layer = dyadic_layer("LIF", 6, 33, recurrent=recurrent)
    x = events(40, 5, 6)
    expected, _ = with_engine(layer, "reference")(x)
    assert expected.any()
    stream = compile_stream(layer)
    result = stream.run(x.numpy())
    assert np.array_equal(result.out, expected.detach().numpy())
    reaches = torch.bincount(layer.synapses_hh_l0[:, 0], minlength=33)
    if recurrent == 0.3:  # kept as rows
        reaches = torch.full((33,), 33)
    arrived = expected[:-1].sum((0, 1))
    assert result.additions[0, 1] == int((arrived * reaches).sum())
    stream.save(tmp_path / "s.safetensors")
    again = load_stream(tmp_path / "s.safetensors").run(x.numpy())
    assert np.array_equal(again.out, result.out)
    assert np.array_equal(again.additions, result.additions)


def test_the_additions_executed_are_those_of_the_events():
    net = network("LIF")
    x = events(30, 4, 6)
    lengths = torch.tensor([30, 7, 30, 1])
    stream = compile_stream(net)
    executed = stream.run(x.numpy(), lengths=lengths.numpy()).additions
    hidden = net.hidden(x, lengths)
    valid = torch.arange(30)[:, None] < lengths
    inputs = [x * valid[:, :, None], *hidden]
    for k, size in enumerate((17, 17, 3)):
        assert executed[k, 0] == int(inputs[k].sum()) * size
    for k in range(2):
        before = valid[1:, :, None] * hidden[k][:-1]
        assert executed[k, 1] == int(before.sum()) * 17
    assert executed[2, 1] == 0
    assert np.array_equal(stream.additions, executed)


def test_a_file_brings_the_stream_back(tmp_path):
    stream = compile_stream(network("ALIF"))
    stream.save(tmp_path / "net.safetensors")
    x = events(30, 2, 6).numpy()
    again = load_stream(tmp_path / "net.safetensors")
    assert np.array_equal(again.run(x).out, stream.run(x).out)
    (tmp_path / "bad.safetensors").write_bytes((tmp_path / "net.safetensors").read_bytes()[:200])
    with pytest.raises(DataError, match=r"bad\.safetensors"):
        load_stream(tmp_path / "bad.safetensors")


def test_wrong_shapes_and_models_are_refused():
    stream = compile_stream(dyadic_layer("LIF", 6, 5))
    with pytest.raises(InputError, match=r"\(T, B, 6\)"):
        stream.run(np.zeros((3, 1, 5), np.float32))
    with pytest.raises(InputError, match="state"):
        stream.run(np.zeros((3, 1, 6), np.float32), np.zeros((2, 10), np.float32))
    with pytest.raises(InputError, match="lengths"):
        stream.run(np.zeros((3, 1, 6), np.float32), lengths=np.array([4]))
    with pytest.raises(UnsupportedError, match="LSTM"):
        compile_stream(build("LSTM", 3, 4, 2))


@pytest.mark.parametrize(
    ("x", "state", "message"),
    [
        (np.ones(3, np.float32), None, r"x \(2,\) .*got float32 \(3,\) and"),
        (np.ones((1, 2), np.float32), None, r"x \(2,\) .*got float32 \(1, 2\) and"),
        (np.ones(2), None, r"float32 arrays, got float64 \(2,\)"),
        (np.ones(4, np.float32)[::2], None, r"got float32 \(2,\), not contiguous and"),
        ([1.0, 1.0], None, "got list and"),
        (np.ones(2, np.float32), np.zeros((2, 16), np.float32), r"\(1, 16\), .*and float32 \(2, 1"),
        (np.ones(2, np.float32), np.zeros((1, 16)), "and float64"),
    ],
)
def test_a_step_refuses_what_it_would_read_wrongly(x, state, message):
    stream = compile_stream(SpikingRNN("LIF", 2, 8))
    before = stream.zero_state() if state is None else state
    kept = before.copy()
    with pytest.raises(InputError, match=message):
        stream.step(x, before)
    assert (before == kept).all()


def test_a_copy_steps_on_its_own():
    """It must not have kept the addresses of what it was copied from."""
    stream = compile_stream(network("ALIF"))
    x = events(20, 1, 6)[:, 0].numpy()
    state = stream.zero_state()
    expected = [stream.step(row, state).copy() for row in x]
    counted = stream.additions.copy()
    for twin in (copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))):
        state = twin.zero_state()
        assert np.array_equal([twin.step(row, state).copy() for row in x], expected)
        assert np.array_equal(twin.additions, counted)
        assert np.array_equal(stream.additions, counted)


def of_a_network(**settings):
    """A stream of nine inputs, none of whose sizes is another one's."""
    torch.manual_seed(0)
    return compile_stream(build("LIF", 5, 8, 3, **settings))


STREAMS = {
    "dense": {},
    "sparse": {"recurrent": "diagonal"},
    "delays": {"delay": 3, "recurrent_delay": 2},
    "skip": {"skip": True, "num_layers": 2},
}
LINES = ["", "{", "null", "{}", "[]", "-1", "0", "1.5", "99", "1" + 15 * "0", '"x"', "true"]
LINES += ["[[]]", '["nobody", "LI"]', '["LIF"]', '["ALIF", "LI"]', "[[[0], 8]]", "[" * 100_000]
LINES += ["[[[0], 8], [[9], 3]]", "[[[-1], 8], [[1], 3]]", "[[[0], 0], [[1], 3]]"]
LINES += ["[[[0], 9], [[1], 3]]", "[[[0], -8], [[1], 3]]", "[[[0, 0], 8], [[1], 3]]"]
LINES += ["[[[1], 8], [[1], 3]]", "[[[0], 8], [[0], 3]]", "[[[0], 8], [[], 3]]", "[[0, 8], [1, 3]]"]
LINES += ["[[[0], 1e3], [[1], 3]]", "[[[0], 8], [[1], 2]]", "[[[0], 8], [[1], 3], [[2], 3]]"]
ARRAYS = {
    "another type": lambda x: x.astype(np.int32),
    "twice as exact": lambda x: x.astype(np.float64),
    "a row more": lambda x: np.concatenate([x, x[:1]]),
    "a row less": lambda x: x[1:],
    "transposed": lambda x: x.T if x.ndim == 2 and x.shape[0] != x.shape[1] else x[None],
    "flat": lambda x: x.reshape(-1)[None, None],
    "a number": lambda x: x.reshape(-1)[0],
    "nothing": lambda x: x[:0],
    "a huge nothing": lambda x: np.zeros((0, 10**15), x.dtype),
    "not a number": lambda x: np.where(np.arange(len(x)) == 0, np.nan, x.T).T.astype(x.dtype),
    "infinite": lambda x: np.where(np.arange(len(x)) == 0, -np.inf, x.T).T.astype(x.dtype),
}
NUMBERS = {
    "negative": lambda x: x - 10,
    "far": lambda x: x + 10**12,
    "farthest": lambda x: x | 2**62,
}
SYNAPSES = {
    "permuted": lambda x: x[::-1],
    "moved": lambda x: np.add(x, [[0, 1]]) % 8,
    "doubled": lambda x: x // 2 * 2,
}


def mutants(arrays, head):
    """Files that are no stream, as (what was done, arrays, head)."""
    for entry, text in head.items():
        yield f"no {entry}", arrays, {k: v for k, v in head.items() if k != entry}
        for line in LINES:
            possible = (entry, line) in (("outputs", "3"), ("body", "0"))
            if line != text and not possible:
                yield f"{entry} {line[:40]}", arrays, head | {entry: line}
    yield "one entry more", arrays, head | {"more": "1"}
    for name, array in arrays.items():
        kind = name.split(".")[1]
        whole = kind in ("synapses", "below", "own")
        changes = dict(list(ARRAYS.items())[1:-2]) | NUMBERS if whole else ARRAYS
        for what, change in (changes | (SYNAPSES if kind == "synapses" else {})).items():
            yield f"{name} {what}", arrays | {name: change(array)}, head
        if kind in ("params", "w_in", "bias") or "0.synapses" in arrays.keys() - {name}:
            yield f"no {name}", {k: v for k, v in arrays.items() if k != name}, head
        yield f"{name} of no population", arrays | {f"9.{kind}": array}, head
        yield f"{name} of another name", arrays | {f"0.x{kind}": array}, head


@pytest.fixture(params=STREAMS)
def stream_file(request, tmp_path, monkeypatch):
    """The arrays and the header of a file, and a place for others, which need not last."""
    monkeypatch.setattr("os.fsync", lambda handle: None)
    path = tmp_path / "net.safetensors"
    of_a_network(**STREAMS[request.param]).save(path)
    return *tensor_file.read(path), path


def refusal(path):
    """The error at a file, one line, after no more memory than its size asks for; empty: none."""
    tracemalloc.start()
    try:
        load_stream(path)
        return ""
    except (DataError, InputError) as error:
        said = str(error)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**20 + 4 * path.stat().st_size
    assert str(path) in said
    assert "\n" not in said
    return said


def test_a_crafted_file_is_refused_for_what_it_is(stream_file):
    """Its digest is that of its content, so it is no help."""
    arrays, head, path = stream_file
    crafted = list(mutants(arrays, head))
    assert len(crafted) > 100
    accepted = []
    for what, changed, line in crafted:
        tensor_file.write(path, changed, line)
        if not refusal(path):
            accepted.append(what)
    assert not accepted


def raw(header, data=b""):
    """A safetensors file of any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor(kind="F32", shape=(2,), offsets=(0, 8)):
    return {"0.bias": {"dtype": kind, "shape": shape, "data_offsets": offsets}}


HEAD = {"__metadata__": {"format": "3", "neurons": '["LIF"]', "outputs": "1"}}
"""Of version 0.1.0, without a digest."""
BROKEN = {
    "empty": b"",
    "cut in the length": b"123",
    "a header of 4 exabytes": (2**62).to_bytes(8, "little") + b"{}",
    "a header of 90 megabytes": (90 * 2**20).to_bytes(8, "little") + b"{}",
    "no JSON": raw(b"hello"),
    "no text": raw(b"\xff\xfe{}"),
    "a list": raw([]),
    "deep": raw(b"[" * 100_000),
    "entries that are no text": raw({"__metadata__": {"format": 3}}),
    "no entries": raw(tensor(), bytes(8)),
    "negative offsets": raw(HEAD | tensor(offsets=(-8, 0)), bytes(8)),
    "huge offsets": raw(HEAD | tensor(offsets=(2**60, 2**60 + 8)), bytes(8)),
    "offsets beyond the end": raw(HEAD | tensor(offsets=(0, 800), shape=(200,)), bytes(8)),
    "offsets backwards": raw(HEAD | tensor(offsets=(8, 0)), bytes(8)),
    "a shape of terabytes": raw(HEAD | tensor(shape=(2**40,)), bytes(8)),
    "a shape that overflows": raw(HEAD | tensor(shape=(2**40, 2**40)), bytes(8)),
    "a negative shape": raw(HEAD | tensor(shape=(-2,)), bytes(8)),
    "an unknown type": raw(HEAD | tensor("X32"), bytes(8)),
    "a type that numpy lacks": raw(HEAD | tensor("BF16", (4,)), bytes(8)),
    "more data": raw(HEAD | tensor(), bytes(80)),
    "one array alone": raw(HEAD | tensor(), bytes(8)),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_refused(what, tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(BROKEN[what])
    assert refusal(path)


NAN = np.float32("nan")


@pytest.mark.parametrize("settings", [{}, {"delay": 3}])
@pytest.mark.parametrize("value", [NAN, np.float32("inf")])
def test_what_is_not_finite_is_refused_where_it_comes_in(settings, value):
    stream = of_a_network(**settings)
    x = np.ones((4, 2, 5), np.float32)
    x[3, 1, 2] = value
    with pytest.raises(InputError, match=r"feature\] holds (nan|inf) at \[3, 1, 2\], which"):
        stream.run(x)
    state = stream.zero_state()
    stream.step(x[0, 0], state)
    before = state.copy()
    with pytest.raises(InputError, match=r"(nan|inf) at "):
        stream.step(x[3, 1], state)
    assert np.array_equal(state, before)
    state[0, 1] = value
    with pytest.raises(InputError, match=r"state holds (nan|inf) at \[0, 1\]"):
        stream.run(x[:2, :1], state)


def test_readouts_above_each_other_receive_potentials():
    layer = dyadic_layer("LI", 3, 4, 2)
    x = events(10, 2, 3)
    assert np.array_equal(compile_stream(layer).run(x.numpy()).out, layer(x)[0].detach().numpy())


FORGED = {
    "operation": lambda step: step["ops"][0].__setitem__(1, "__import__"),
    "arguments": lambda step: step["ops"][0].pop(),
    "argument": lambda step: step["ops"][0].__setitem__(3, "open('/etc/passwd')"),
    "later argument": lambda step: step["ops"][0].__setitem__(3, step["ops"][1][0]),
    "truth": lambda step: step["ops"][0].__setitem__(2, "f32"),
    "number": lambda step: step["ops"][0].__setitem__(3, float("nan")),
    "result": lambda step: step["ops"][0].__setitem__(0, "x_ = 1; import os"),
    "result of the templates": lambda step: step["ops"][0].__setitem__(0, "memory"),
    "result twice": lambda step: step["ops"][1].__setitem__(0, step["ops"][0][0]),
    "input": lambda step: step["inputs"].__setitem__(0, "p_ = open('x')"),
    "input twice": lambda step: step["inputs"].insert(0, step["inputs"][0]),
    "state": lambda step: step["inputs"].remove("s_z"),
    "output": lambda step: step["outputs"].pop("u"),
    "value": lambda step: step["outputs"].update(u="os"),
    "no spikes": lambda step: step["outputs"].update(n_z=2.0),
    "spike before its cause": lambda step: step["outputs"].update(u="z"),
    "name": lambda step: step.update(name=3),
    "all": dict.clear,
}


@pytest.mark.parametrize("what", FORGED)
def test_a_step_that_was_forged_reaches_no_kernel(what, tmp_path, monkeypatch):
    path = tmp_path / "net.safetensors"
    compile_stream(SpikingRNN("LIF", 2, 8)).save(path)
    arrays, head = tensor_file.read(path)
    steps = json.loads(head["steps"])
    FORGED[what](steps[0])
    tensor_file.write(path, arrays, head | {"steps": json.dumps(steps)})
    monkeypatch.setattr("spikern.engines.codegen.cache.load", pytest.fail)
    with pytest.raises(DataError, match="not the step of a neuron"):
        load_stream(path)


@pytest.mark.usefixtures("plain_python")
def test_the_users_neuron_comes_with_the_file_and_its_name_is_no_code(tmp_path):
    name = 'LIF"""\nraise SystemExit'
    stream = compile_stream(SpikingRNN(replace(NEURONS["LIF"], name=name), 6, 8))
    stream.save(tmp_path / "file")
    again = load_stream(tmp_path / "file")
    assert again.populations[0].step == stream.populations[0].step
    x = events(20, 2, 6).numpy()
    assert np.array_equal(again.run(x).out, stream.run(x).out)


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # its import raises
import numpy as np
from spikern import load_stream
folder, *names = sys.argv[1:]
x = np.load(f"{folder}/x.npy")
for name in names:
    stream = load_stream(f"{folder}/{name}")
    state = stream.zero_state()
    steps = [stream.step(row, state).copy() for row in x[:, 0]]
    result = stream.run(x)
    answer = "none" if stream.task is None else stream.predict(4 * x[:, 0])[0].names
    np.savez(f"{folder}/{name}.npz", steps=steps, out=result.out, state=result.state, answer=answer)
print({name.partition(".")[0] for name in sys.modules} & {"scipy", "sklearn", "matplotlib", "h5py"})
"""


def without_torch(folder, *names):
    arguments = [sys.executable, "-c", WITHOUT_TORCH, str(folder), *names]
    return subprocess.run(arguments, capture_output=True, text=True)


def test_a_stream_is_loaded_and_stepped_without_torch(tmp_path):
    streams = {
        "plain": compile_stream(network("ALIF")),
        "delayed": compile_stream(SpikingRNN("LIF", 6, 8, delay=3, recurrent_delay=2)),
    }
    divided = Transform("divide", {"by": 4.0})
    task = Task("doors", ("open", "shut", "ajar"), 1.0, True, 6, (divided,))
    streams["plain"].task = task
    x = events(20, 5, 6).numpy()
    np.save(tmp_path / "x.npy", x)
    for name, stream in streams.items():
        stream.save(tmp_path / name)
    done = without_torch(tmp_path, *streams)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("set()", "{'scipy'}")  # which numba imports where it is
    for name, stream in streams.items():
        there, here = np.load(tmp_path / f"{name}.npz"), stream.run(x)
        assert here.out.any()
        assert np.array_equal(there["out"], here.out)
        assert np.array_equal(there["state"], here.state)
        assert np.array_equal(there["steps"], here.out[:, 0])
        if stream.task is not None:
            assert np.array_equal(there["answer"], stream.predict(4 * x[:, 0])[0].names)


OLD = Path(__file__).parent / "data" / "v0.1.0" / "ALIF.stream"


@pytest.mark.usefixtures("plain_python")
def test_a_file_of_names_alone_needs_torch_and_the_users_neurons(tmp_path):
    arrays, head = tensor_file.read(OLD)
    head["neurons"] = head["neurons"].replace('"ALIF"', '"mine"')
    tensor_file.write(tmp_path / "old", arrays, head)
    with pytest.raises(InputError, match="mine"):
        load_stream(tmp_path / "old")
    x = np.ones((5, 1, 1), np.float32)
    own = load_stream(tmp_path / "old", [replace(NEURONS["ALIF"], name="mine")])
    assert np.array_equal(own.run(x).out, load_stream(OLD).run(x).out)
    np.save(tmp_path / "x.npy", x)
    said = without_torch(tmp_path, "old").stderr
    assert "UnsupportedError" in said
    assert "ModuleNotFoundError" not in said


@pytest.mark.parametrize("delay", [0, 3])
def test_what_a_stream_cannot_take_is_refused_in_words(delay):
    stream = compile_stream(SpikingRNN("LIF", 4, 6, delay=delay))
    x = np.ones((5, 2, 4), np.float32)
    state = stream.zero_state()
    for other in (state.astype(int), state.tolist(), None):
        with pytest.raises(InputError, match="float32 array"):
            stream.step(x[0, 0], other)
    strided = np.ones(8, np.float32)[::2]
    for other in (x[0, 0].tolist(), x[0, 0].astype(float), strided, np.ones(3, np.float32)):
        with pytest.raises(
            InputError, match=r"expected x \(4,\) and a state \(1, .*float32 arrays"
        ):
            stream.step(other, state)
    for empty in (x[:0], x[:, :0]):
        with pytest.raises(InputError, match="empty input"):
            stream.run(empty)
    with pytest.raises(InputError, match="lengths as whole numbers, got float64"):
        stream.run(x, lengths=[2.7, 3.0])
    with pytest.raises(InputError, match="expected input as an array of numbers"):
        stream.run([[["a"]]])


def test_a_file_with_a_task_that_is_none_is_named(tmp_path):
    path = tmp_path / "stream"
    compile_stream(SpikingRNN("LIF", 2, 4)).save(path)
    arrays, head = tensor_file.read(path)
    tensor_file.write(path, arrays, head | {"task": json.dumps({"dataset": "none"})})
    with pytest.raises(DataError, match=r"stream is not a file of Stream\.save: it does not descr"):
        load_stream(path)


def test_a_stream_says_what_it_cannot_change():
    stream = compile_stream(network("LIF"))
    x = np.frombuffer(np.zeros(6, np.float32).tobytes(), np.float32)
    with pytest.raises(
        InputError, match=r"writeable float32 arrays, got float32 \(6,\), read-only"
    ):
        stream.step(x, stream.zero_state())
    with pytest.raises(InputError, match="expected a state as an array of numbers"):
        stream.run(np.zeros((3, 1, 6), np.float32), "abc")


def test_a_standard_network_is_named_where_a_stream_is_asked_for():
    with pytest.raises(UnsupportedError, match="a Baseline with a Linear cannot be streamed"):
        compile_stream(build("GRU", 3, 4, 2))


@pytest.mark.parametrize("settings", [{}, {"delay": 2}, {"recurrent": 0.03}])
def test_a_layer_that_is_changed_later_does_not_change_its_stream(settings, tmp_path):
    layer = dyadic_layer("ALIF", 6, 64, 2, **settings)
    stream, x = compile_stream(layer), events(20, 3, 6).numpy()
    before = stream.run(x).out
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    stream.save(tmp_path / "stream.safetensors")
    others = [copy.copy(stream), pickle.loads(pickle.dumps(stream))]
    for other in (*others, load_stream(tmp_path / "stream.safetensors")):
        assert not other.additions.any()
        assert np.array_equal(other.run(x).out, before)


def test_an_array_that_is_only_read_may_be_run():
    stream, x = compile_stream(dyadic_layer("LIF", 6, 8)), events(20, 3, 6).numpy()
    before = stream.run(x).out
    x.flags.writeable = False
    assert np.array_equal(stream.run(x).out, before)


@pytest.mark.parametrize("delay", [0, 2])
def test_a_step_refuses_a_state_that_is_not_finite(delay):
    stream = compile_stream(SpikingRNN("LIF", 6, 8, delay=delay))
    state = stream.zero_state()
    state[0, 3] = np.nan
    with pytest.raises(InputError, match="nan"):
        stream.step(np.zeros(6, np.float32), state)
