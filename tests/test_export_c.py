"""Exported C against the stream, against whole numbers worked out here, and under sanitizers."""

import ctypes
import re
import sys
from collections import namedtuple
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from c_library import STRICT, Library, compilers, needs_gcc, run
from engine_cases import SPIKING, events

from spikern import __main__ as cli
from spikern._utils.errors import DataError, InputError, UnsupportedError
from spikern.data import load
from spikern.data.task import Task
from spikern.data.transforms import Transform
from spikern.engines.codegen.runtime import exponential
from spikern.engines.codegen.trace import rounds_alike
from spikern.interop import export_c
from spikern.layers.baseline import BASELINES
from spikern.layers.network import Network, build
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.layers.streaming import compile_stream
from spikern.neurons import LI, LIF, NEURONS
from spikern.neurons.constants import real
from spikern.neurons.model import NeuronModel
from spikern.train import load_network

pytestmark = needs_gcc
TOPOLOGIES = {
    "two layers": {"num_layers": 2},
    "delays": {"num_layers": 2, "delay": 3, "recurrent_delay": 4},
    "skip": {"num_layers": 3, "skip": True},
    "feedback": {"num_layers": 2, "feedback": 0.3},
    "layers that differ": {"model": ["ALIF", "LIF"], "hidden": [20, 13], "recurrent": [True, 0.3]},
    "sparse": {"recurrent": 0.02},
    "no recurrence": {"recurrent": False},
}


INPUTS = 7
"""Four rows of inputs are added in one pass, and the others alone."""


def network(model, answer="last", inputs=INPUTS, hidden=20, **settings):
    torch.manual_seed(3)
    return build(model, inputs, hidden, 4, answer=answer, **settings).eval()


def analog(steps=25, inputs=INPUTS):
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(steps, 1, inputs, generator=generator)
    return x * (torch.rand(x.shape, generator=generator) < 0.7)


@pytest.mark.usefixtures("mostly_plain")
@pytest.mark.parametrize("name", SPIKING)
def test_every_neuron_has_the_bits_of_its_stream(name, tmp_path):
    net, x = network(name), analog()
    expected = compile_stream(net).run(x.numpy()).out[:, 0]
    assert np.array_equal(Library(net, tmp_path).run(x[:, 0]), expected)


class OwnParams(NamedTuple):
    a: torch.Tensor


class OwnState(NamedTuple):
    v: torch.Tensor
    z: torch.Tensor


def own_step(p, s, i, fire):
    v = torch.where(i.abs() > 0.5, p.a * s.v + i, torch.maximum(s.v, i)) * (1 - s.z)
    z = fire(v - s.v**2 * 0.25 - 1)
    return OwnState(v.clamp(-4, 4), z), z


@pytest.mark.usefixtures("plain_python")
def test_a_neuron_of_ones_own_is_written(tmp_path):
    own = NeuronModel("Own", own_step, OwnParams, OwnState, {"a": real("a", 0.7)}, "here")
    net, x = network(own), 3 * analog()
    expected = compile_stream(net).run(x.numpy()).out[:, 0]
    assert expected.any()
    assert np.array_equal(Library(net, tmp_path).run(x[:, 0]), expected)
    int8, fixed = (Library(net, tmp_path, numbers).run(x[:, 0]) for numbers in ("int8", "fixed"))
    assert np.abs(fixed - int8).max() < 2e-3 * np.abs(int8).max()  # as of the built-in ones


class Watched(NamedTuple):
    v: torch.Tensor
    z: torch.Tensor
    power: torch.Tensor


def watched_step(p, s, i, fire):
    v = p.a * s.v + i - s.z
    z = fire(v - 1)
    return Watched(v, z, v * v), z


@pytest.mark.usefixtures("plain_python")
@pytest.mark.parametrize("numbers", ["float32", "int8", "fixed"])
def test_a_field_that_no_step_reads_is_not_computed(numbers, tmp_path):
    own = NeuronModel("Watched", watched_step, OwnParams, Watched, {"a": real("a", 0.7)}, "here")
    net, x = network(own), analog()
    out = Library(net, tmp_path, numbers).run(x[:, 0])
    assert "power" not in next(tmp_path.rglob("*.c")).read_text()
    if numbers == "float32":
        assert np.array_equal(out, compile_stream(net).run(x.numpy()).out[:, 0])


class Potential(NamedTuple):
    z: torch.Tensor


def potential_step(p, s, i, fire):
    z = p.alpha_mem * s.z + (1 - p.alpha_mem) * i
    return Potential(z), z


@pytest.mark.usefixtures("plain_python")
def test_a_potential_called_z_is_no_spike(tmp_path):
    """In fixed point spikes are truth values, which choose in place of a product."""
    readouts = [LI, replace(LI, name="Z", step=potential_step, state=Potential)]
    outs = []
    for k, neuron in enumerate(readouts):
        torch.manual_seed(0)
        layer = Readout(INPUTS, 4, neuron)
        outs.append(Library(layer, tmp_path / str(k), "fixed").run(analog()[:, 0]))
    assert outs[0].any()
    assert np.array_equal(*outs)


@pytest.mark.usefixtures("plain_python")
def test_a_name_that_ends_a_comment_is_refused(tmp_path):
    for name in ("v*/2", "a/*b", "two\nlines"):
        own = replace(LIF, name=name)
        with pytest.raises(InputError, match="cannot stand in a comment of C"):
            export_c(SpikingRNN(own, 3, 4), tmp_path / "net")


@pytest.mark.usefixtures("plain_python")
@compilers
@pytest.mark.parametrize("settings", TOPOLOGIES.values(), ids=TOPOLOGIES)
def test_every_topology_has_the_bits_of_its_stream(settings, compiler, tmp_path):
    net, x = network(**{"model": "ALIF"} | settings), analog()
    expected = compile_stream(net).run(x.numpy()).out[:, 0]
    library = Library(net, tmp_path, compiler=compiler)
    assert np.array_equal(library.run(x[:, 0]), expected)
    assert np.array_equal(library.run(x[:, 0], events=True), expected)


def test_a_layer_without_readout_has_the_spikes_of_its_stream(tmp_path):
    layer, x = SpikingRNN("LIF", INPUTS, 20), analog()
    expected = compile_stream(layer).run(x.numpy()).out[:, 0]
    assert expected.any()
    assert np.array_equal(Library(layer, tmp_path).run(x[:, 0]), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ALIF", "BRF", "EIF"])
def test_a_whole_test_split_has_the_bits_of_the_stream(name, tmp_path):
    split = load("digits").test
    net = network(name, inputs=1, hidden=64)
    expected = compile_stream(net).run(split.x.numpy()).out
    library = Library(net, tmp_path)
    for b in range(len(split)):
        assert np.array_equal(library.run(split.x[:, b]), expected[:, b])


def test_the_mean_is_over_all_steps(tmp_path):
    net, x = network("LIF", "mean"), analog()
    out = compile_stream(net).run(x.numpy()).out[:, 0]
    expected = out.cumsum(0) / np.arange(1, len(out) + 1)[:, None]
    # numpy adds in another order
    assert np.allclose(Library(net, tmp_path).run(x[:, 0]), expected, rtol=0, atol=1e-6)


def whole_numbers(weight):
    """Rows of weights as whole numbers up to 127, and the scale of each."""
    scale = weight.abs().amax(1) / 127
    return (weight / torch.where(scale > 0, scale, 1.0)[:, None]).round(), scale


def int8_steps(layer, x):
    """The output of each step of one layer on whole inputs x (T, F), and its int8 arithmetic."""
    weights = [layer.weight_ih_l0, *([layer.weight_hh_l0] if layer.recurrent else [])]
    whole, scale = whole_numbers(torch.cat(weights, 1).detach())
    state = layer.neuron.state(*(field[0, 0] for field in layer.zero_state(1)))
    outs = []
    for row in x:
        arriving = torch.cat([row, state.z]) if layer.recurrent else row
        i = layer.bias_l0 + scale * (whole @ arriving)
        state, out = layer.neuron.step(layer.params(0), state, i, lambda u: (u > 0).float())
        outs.append(out)
    return torch.stack(outs)


@pytest.mark.usefixtures("plain_python")
@pytest.mark.parametrize("name", [n for n in SPIKING if rounds_alike(NEURONS[n])])
def test_int8_adds_whole_numbers_and_scales_once(name, tmp_path):
    net = network(name)
    x = (events(25, 1, INPUTS, rate=0.6) * torch.tensor([1.0, -1.0, 2.0, 1.0, 3.0, -2.0, 1.0]))[
        :, 0
    ]
    with torch.no_grad():
        spikes = int8_steps(net.body, x)
        expected = int8_steps(net.readout, spikes)
    assert spikes.any()
    assert np.array_equal(Library(net, tmp_path, "int8").run(x), expected)


@pytest.mark.usefixtures("plain_python")
@pytest.mark.parametrize("settings", TOPOLOGIES.values(), ids=TOPOLOGIES)
def test_int8_answers_like_the_stream_of_rounded_weights(settings, tmp_path):
    net, x = network(**{"model": "LIF"} | settings), analog()
    library = Library(net, tmp_path, "int8")
    with torch.no_grad():
        for key, weight in net.named_parameters():
            if key.split(".")[1].startswith("weight"):
                whole, scale = whole_numbers(weight)
                weight.copy_(whole * scale[:, None])
    expected = compile_stream(net).run(x.numpy()).out[:, 0]
    actual = library.run(x[:, 0])
    # Spikes differ where rounding decides; a wrong connection would change most of them.
    assert np.corrcoef(actual.ravel(), expected.ravel())[0, 1] > 0.95
    assert np.array_equal(library.run(x[:, 0], events=True), actual)


WITHOUT_DIVISION = [n for n in SPIKING if n != "EIF"]


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("name", WITHOUT_DIVISION)
def test_fixed_point_follows_the_equation(name, given, tmp_path):
    """With an input, and with none but a bias."""
    net, x = network(name, "mean"), analog()
    if not given:
        with torch.no_grad():
            net.body.weight_ih_l0.zero_()
            net.body.bias_l0 += torch.linspace(0.5, 3.0, 20)
    int8 = Library(net, tmp_path, "int8").run(x[:, 0])
    fixed = Library(net, tmp_path, "fixed").run(x[:, 0])
    # 2^-20 per product, and 2^-9 per input, which int8 has as float32
    assert np.abs(fixed - int8).max() < 2e-3 * np.abs(int8).max()
    assert np.abs(fixed - int8).max() > 0


def lif_in_fixed_point(layer, x):
    """The outputs of each step of a layer of LIF or LI on inputs x (T, F), worked out in int64."""
    one, half = 2**20, 2**19

    def whole(numbers):
        return np.rint(np.float64(numbers) * one).astype(np.int64)

    weights = [layer.weight_ih_l0, *([layer.weight_hh_l0] if layer.recurrent else [])]
    rows, scale = whole_numbers(torch.cat(weights, 1).detach())
    rows, inputs = rows.long().numpy(), layer.input_size
    bits = 8 if layer.neuron.spikes else 0  # the readout gets spikes
    steps = scale.double().numpy() * 2.0 ** (20 - bits)
    shift = 30 - int(np.ceil(np.log2(steps.max())))
    multiplier, bias = np.rint(steps * 2.0**shift).astype(np.int64), whole(layer.bias_l0.detach())
    alpha = layer.params(0).alpha_mem.detach().numpy()
    v_th = whole(layer.params(0).v_th.detach()) if layer.neuron.spikes else 0
    v = z = np.zeros(len(bias), np.int64)
    outs = []
    for row in np.rint(np.clip(x, -64, 64) * 2**bits).astype(np.int64):
        total = rows[:, :inputs] @ row
        if layer.recurrent:
            total += 2**bits * (rows[:, inputs:] @ z)
        i = bias + ((total * multiplier + (1 << shift - 1)) >> shift)
        i = np.clip(i, 1 - 2**31, 2**31 - 1)
        v = (whole(alpha) * v + half >> 20) + (whole(np.float32(1) - alpha) * i + half >> 20)
        v = v - z * v_th
        z = (v > v_th).astype(np.int64)
        outs.append(z if layer.neuron.spikes else v)
        v = np.clip(v, -512 * one, 512 * one - 1)
    return np.stack(outs)


@pytest.mark.parametrize("size", [1.0, 200.0])
def test_fixed_point_is_the_same_whole_numbers_everywhere(size, tmp_path):
    """The larger weights bring the current and the state to the ends of their ranges."""
    net, x = network("LIF"), analog(60)[:, 0].numpy()
    with torch.no_grad():
        net.body.weight_ih_l0 *= size
        net.readout.weight_ih_l0 *= size
    spikes = lif_in_fixed_point(net.body, x)
    expected = lif_in_fixed_point(net.readout, spikes)
    assert spikes.any()
    assert (np.abs(expected).max() > 500 * 2**20) == (size > 1)
    actual = Library(net, tmp_path, "fixed").run(x)
    assert np.array_equal(actual, expected.astype(np.float32) / 2**20)


@pytest.mark.usefixtures("plain_python")
@pytest.mark.parametrize("settings", TOPOLOGIES.values(), ids=TOPOLOGIES)
def test_every_topology_is_written_in_fixed_point(settings, tmp_path):
    net, x = network(**{"model": "LIF"} | settings), analog()
    int8 = Library(net, tmp_path, "int8").run(x[:, 0])
    library = Library(net, tmp_path, "fixed")
    fixed = library.run(x[:, 0])
    assert np.corrcoef(fixed.ravel(), int8.ravel())[0, 1] > 0.95  # as above
    assert np.array_equal(library.run(x[:, 0], events=True), fixed)


@pytest.mark.parametrize("answer", ["last", "mean"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", BASELINES)
def test_gated_networks_answer_like_torch(kind, layers, answer, tmp_path):
    net, x = network(kind, answer, num_layers=layers), 2 * analog()
    with torch.no_grad():
        expected = np.stack([net(x[: t + 1])[0][0].numpy() for t in range(len(x))])
    library = Library(net, tmp_path)
    # exp and tanh differ in the last places
    assert np.allclose(library.run(x[:, 0]), expected, rtol=0, atol=2e-6)
    assert np.array_equal(library.run(x[:, 0], events=True), library.run(x[:, 0]))
    int8 = Library(net, tmp_path, "int8").run(x[:, 0])
    # One part in 127 for each weight and state, averaged over 20 units.
    assert np.abs(int8 - expected).max() < 0.05 * np.abs(expected).max()
    assert np.abs(int8 - expected).max() > 0


def test_a_file_states_its_sizes(tmp_path):
    for numbers in ("float32", "int8", "fixed"):
        library = Library(network("ALIF", "mean", num_layers=2), tmp_path, numbers)
        assert f"a state takes {library.ram:,} bytes" in (library.path / "net.h").read_text()


def constants(path):
    """The bytes of constants that a header states."""
    return int(
        (path / f"{path.name}.h")
        .read_text()
        .split("Constants take ")[1]
        .split()[0]
        .replace(",", "")
    )


def test_absent_synapses_and_shared_constants_take_no_space(tmp_path):
    settings = {"hidden": 64, "inputs": 2}
    none = constants(export_c(network("LIF", recurrent=False, **settings), tmp_path / "none"))
    all_pairs = constants(export_c(network("LIF", **settings), tmp_path / "all"))
    few = export_c(network("LIF", recurrent=0.02, **settings), tmp_path / "few")
    synapses = round(0.02 * 64**2)
    assert all_pairs - none == 4 * 64**2
    assert constants(few) - none <= (4 + 2) * synapses + 4 * 65  # weight, target; begin
    assert "static const float p_v_th_0 = 1.0f;" in (few / "few.c").read_text()


FUZZ = """
#include <math.h>
#include <stdlib.h>
#include "net.h"

static float any(void)
{
    const float special[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e-45f, 3e38f, 127.0f, -128.0f};
    return rand() % 3 ? special[rand() % 9] : (float)rand() / 1e8f - 10.0f;
}

int main(void)
{
    net_state *s = malloc(sizeof *s);
    float *x = malloc(NET_INPUTS * sizeof *x), *logits = malloc(NET_OUTPUTS * sizeof *logits);
    int refused = 0;
    for (int round = 0; round < 300; round++) {
        if (round % 20 == 0)
            net_init(s);
        const int count = rand() % (NET_INPUTS + 2);
        net_event *events = malloc((size_t)(count ? count : 1) * sizeof *events);
        for (int k = 0; k < count; k++) {
            events[k].channel = (uint16_t)(rand() % (rand() % 9 ? NET_INPUTS : 65536));
            events[k].value = any();
        }
        refused += net_step_events(s, events, rand() % 30 ? count : -count) != 0;
        free(events);
        for (int k = 0; k < NET_INPUTS; k++)
            x[k] = any();
        net_step(s, x);
        const int best = net_answer(s, logits);
        if (best < 0 || best >= NET_OUTPUTS)
            return 1;
    }
    free(s);
    free(x);
    free(logits);
    return refused ? 0 : 2;
}
"""


FUZZED = [
    ("ALIF", {"num_layers": 2, "delay": 3, "recurrent_delay": 4}),
    ("EIF", {"num_layers": 2, "feedback": 0.1}),
    ("RNN", {}),
    ("GRU", {"num_layers": 2}),
    ("LSTM", {}),
]


@pytest.mark.parametrize(
    ("model", "settings", "numbers"),
    [
        *((*case, numbers) for case in FUZZED for numbers in ("float32", "int8")),
        *((name, {"num_layers": 2, "feedback": 0.1}, "fixed") for name in WITHOUT_DIVISION),
        ("ALIF", {"num_layers": 2, "delay": 3, "recurrent_delay": 4}, "fixed"),
    ],
)
def test_any_input_stays_within_the_arrays(model, settings, numbers, tmp_path):
    net = network(model, "mean", **settings)
    with torch.no_grad():  # so that fixed point meets its limits
        for name, weight in net.named_parameters():
            if numbers == "fixed" and "weight" in name:
                weight *= 100
    path = export_c(net, tmp_path / "net", numbers)
    (path / "fuzz.c").write_text(FUZZ)
    sanitizers = "-fsanitize=address,undefined,float-cast-overflow"
    flags = ["-g", "-O1", *STRICT, sanitizers, "-fno-sanitize-recover=all"]
    run("gcc", *flags, "-o", path / "fuzz", path / "fuzz.c", path / "net.c", "-lm")
    run(path / "fuzz")


@pytest.mark.parametrize("numbers", ["int8", "fixed"])
def test_it_compiles_where_a_population_is_a_fourth_of_the_widest(numbers, tmp_path):
    """As many bytes as there are sums: gcc takes that for a forgotten factor."""
    run("make", "-C", export_c(build("LIF", 1, 40, 10), tmp_path / "net", numbers))


def test_the_example_reads_a_text_file(tmp_path):
    net, x = network("LIF"), analog()
    path = export_c(net, tmp_path / "net")
    run("make", "-C", path)
    text = "\n".join(" ".join(f"{v:.9g}" for v in row) for row in x[:, 0].tolist())
    logits = compile_stream(net).run(x.numpy()).out[-1, 0]
    words = run(path / "net", input=text.encode()).decode().split()
    assert words[:5] == ["answer", str(logits.argmax()), "after", "25", "steps:"]
    assert np.allclose([float(w) for w in words[5:]], logits, rtol=1e-5)  # printed with six digits
    for broken in (b"", b"1 2", b"1 2 x"):
        with pytest.raises(AssertionError, match="7 per step"):
            run(path / "net", input=broken)


def test_from_a_trained_network_to_its_answer(tmp_path, monkeypatch, capsys):
    """The way of the exported README: compare, export, make, a text file of pixels."""
    monkeypatch.chdir(tmp_path)
    words = "compare digits --models LIF --epochs 1 --seeds 1 --hidden 16 --workers 1"
    cli.main(words.split())
    cli.main(["export", "runs/digits", "tiny", "--to", "c", "--numbers", "int8"])
    assert "tiny/README.md" in capsys.readouterr().out
    blocks = re.findall(r"```sh\n(.*?)```", (tmp_path / "tiny/README.md").read_text(), re.DOTALL)
    commands = "".join(blocks).replace("python", sys.executable)
    printed = run("sh", "-ec", commands, cwd="tiny").decode()
    network = load_network(tmp_path / "runs/digits")
    library = Library(network, tmp_path, "int8")
    logits = library.run(load("digits").test.x[:, 0])[-1]
    assert f"answer {logits.argmax()} after 64 steps: {logits[0]:g} " in printed


@pytest.mark.parametrize(
    ("kind", "message", "change"),
    [
        (InputError, "not an identifier of C", {"name": "two words"}),
        (InputError, "not an identifier of C", {"name": "int"}),
        (InputError, "float32, int8, fixed", {"numbers": "int4"}),
        (DataError, "choose a new folder", {"folder": "."}),
    ],
)
def test_wrong_arguments_are_refused(kind, message, change, tmp_path):
    folder = tmp_path / change.pop("folder", "net")
    with pytest.raises(kind, match=message):
        export_c(network("LIF"), folder, **change)


def test_what_cannot_be_written_is_refused(tmp_path):
    broken = network("LIF")
    with torch.no_grad():
        broken.body.weight_hh_l0[0, 0] = torch.nan
    with pytest.raises(InputError, match="weight_hh_l0 holds NaN"):
        export_c(broken, tmp_path / "net")
    with pytest.raises(UnsupportedError, match="cannot be streamed"):
        export_c(network("LIF", bidirectional=True), tmp_path / "net")
    large = network("LSTM")
    with torch.no_grad():
        large.body.rnn.bias_ih_l0[0] = 1e6
    with pytest.raises(UnsupportedError, match="export float32"):
        export_c(large, tmp_path / "net", "int8")
    with pytest.raises(UnsupportedError, match="population 0 of EIF: the operation 'div' cannot"):
        export_c(network("EIF"), tmp_path / "net", "fixed")
    with pytest.raises(UnsupportedError, match="fixed point with numbers 'int8'"):
        export_c(network("GRU"), tmp_path / "net", "fixed")
    large = network("LIF")
    with torch.no_grad():
        large.body.bias_l0[0] = 3000.0
    with pytest.raises(
        UnsupportedError, match="population 0 of LIF: a constant is 3000, too large"
    ):
        export_c(large, tmp_path / "net", "fixed")
    with pytest.raises(UnsupportedError, match="population 0 has too many or too large synapses"):
        export_c(network("LIF", inputs=2000), tmp_path / "net", "fixed")
    assert not (tmp_path / "net").exists()


def test_the_exponential_is_that_of_the_kernels(tmp_path):
    """From below the smallest number to above the largest, and of what is no number."""
    path = export_c(network("EIF"), tmp_path / "net")
    source = (path / "net.c").read_text()
    (path / "exp.c").write_text(
        source + "float e(float x);\nfloat e(float x) { return exponential(x); }\n"
    )
    run("gcc", *STRICT, "-shared", "-fPIC", "-o", path / "e.so", path / "exp.c", "-lm")
    function = ctypes.CDLL(str(path / "e.so")).e
    function.argtypes, function.restype = [ctypes.c_float], ctypes.c_float
    x = np.float32([*np.linspace(-110, 95, 5001), np.inf, -np.inf, np.nan])
    with np.errstate(over="ignore"):
        expected = np.float32([exponential(value) for value in x])
    assert np.array_equal(np.float32([function(value) for value in x]), expected, equal_nan=True)


def test_the_readme_says_what_an_input_must_have_gone_through(tmp_path):
    network = build("LIF", 1, 8, 2)
    assert (
        "does not say what that was"
        in (export_c(network, tmp_path / "a") / "README.md").read_text()
    )
    network.task = Task(
        "doors", ("open", "shut"), 2.0, False, 1, (Transform("divide", {"by": 16}),)
    )
    readme = (export_c(network, tmp_path / "b") / "README.md").read_text()
    assert (
        "raw readings of doors: these must go first, in this order, through divide(by = 16)"
        in readme
    )
    assert "A step lasts 2 ms. Of the answers, 0 is 'open', 1 is 'shut'." in readme


@pytest.mark.parametrize("numbers", ["float32", "int8"])
@pytest.mark.parametrize(
    ("model", "hidden", "classes"), [("LIF", 16, 1), ("LIF", 1, 2), ("GRU", 1, 1)]
)
def test_a_layer_of_one_neuron_compiles(model, hidden, classes, numbers, tmp_path):
    network = build(model, 4, hidden, classes, "mean")
    folder = export_c(network, tmp_path / "one", numbers)
    run("make", "-s", cwd=folder)
    assert (folder / "one").exists()


@pytest.mark.usefixtures("plain_python")
def test_potentials_that_another_population_reads_are_refused(tmp_path):
    for network in (
        Network(SpikingRNN("LIF", 4, 6), Readout(6, [3, 2]), "last"),
        SpikingRNN(["LIF", LI, "LIF"], 4, [6, 5, 3], recurrent=[True, False, True]),
    ):
        with pytest.raises(UnsupportedError, match="population 2 reads the potentials"):
            export_c(network, tmp_path / "net")


@pytest.mark.parametrize("name", ["clean", "Makefile", "main"])
def test_a_name_that_make_knows_is_refused(name, tmp_path):
    with pytest.raises(InputError, match=f"the folder has another {name}"):
        export_c(build("LIF", 4, 6, 2), tmp_path / name)
    with pytest.raises(InputError, match="what is exported must be Network or"):
        export_c(None, tmp_path / "net")


def test_a_field_that_every_population_has_is_refused(tmp_path):
    state = namedtuple("state", "fired v z")

    def step(p, s, i, fire):
        v = 0.9 * s.v + i - s.z * p.v_th + 0.1 * s.fired
        z = fire(v - p.v_th)
        return state(0.5 * s.fired + z, v, z), z

    params = namedtuple("params", "v_th")
    mine = NeuronModel("Mine", step, params, state, {"v_th": real("v_th", 1.0)}, "-")
    with pytest.raises(InputError, match="Mine has a field fired, as the state of every"):
        export_c(SpikingRNN(mine, 4, 5), tmp_path / "net")


@needs_gcc
def test_delays_that_are_all_zero_need_no_buffer(tmp_path):
    net, x = network("LIF", delay=3), analog()
    for part in (net.body.delay_ih_l0, net.readout.delay_ih_l0):
        part.steps.zero_()
    expected = compile_stream(net).run(x.numpy()).out[:, 0]
    library = Library(net, tmp_path)
    assert np.array_equal(library.run(x[:, 0]), expected)
    assert "buffer" not in (library.path / "net.h").read_text()


def test_a_delay_beyond_its_counter_is_refused(tmp_path):
    layer = SpikingRNN("LIF", 1, 1, delay=65_535, recurrent=False)
    layer.delay_ih_l0.steps.fill_(65_535)
    with pytest.raises(UnsupportedError, match="the longest delay is 65535 steps"):
        export_c(layer, tmp_path / "delayed")


@pytest.mark.parametrize("numbers", ["float32", "int8"])
def test_a_gated_network_has_as_many_inputs_as_its_counter(numbers, tmp_path):
    with pytest.raises(UnsupportedError, match="at most 65535 inputs"):
        export_c(build("RNN", 65_536, 1, 2), tmp_path / "wide", numbers)


def test_a_constant_that_is_named_as_an_array_in_c_is_refused(tmp_path):
    names = {"a_0": real("a_0", 0.9), "a": real("a", 0.3), "v_th": real("v_th", 1.0)}

    def step(p, s, i, fire):
        v = p.a_0 * s.v + p.a * i
        z = fire(v - p.v_th)
        return type(s)(v * (1 - z), z), z

    params, state = namedtuple("MineParams", names), namedtuple("MineState", "v z")
    mine = NeuronModel("Mine", step, params, state, names, "-")
    with pytest.raises(InputError, match="a constant a_0, which in C is the name of another"):
        export_c(SpikingRNN(mine, 2, 3), tmp_path / "clash")
