"""Memories: the search beside plain searches; what is stored, mixed, counted and refused."""

import math
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import faiss
import numpy as np
import pytest
import torch

from spikern import (
    DataError,
    InputError,
    Network,
    Readout,
    SpikingRNN,
    Training,
    build,
    compile_stream,
    fit,
    load,
)
from spikern._utils import json_file
from spikern.cost import conventions, count, energy, tables
from spikern.cost.memory import memory_pj
from spikern.data.dataset import Batch
from spikern.data.tinyshakespeare import split as text_split
from spikern.engines.stream_loading import load_stream
from spikern.events.trains import dense
from spikern.retrieval import (
    Recalling,
    RecallingStream,
    bits,
    choose,
    examples,
    find,
    load_memory,
    load_recalling,
    recall_classes,
    remember,
    remember_classes,
)
from spikern.retrieval.counting import count_recalling
from spikern.retrieval.memory import windows
from spikern.retrieval.ngrams import counted, probabilities, shared_passages, text_of
from spikern.retrieval.remembering import sampled
from spikern.retrieval.search import EMPTY, PLACES, hashed, nearest_of_all, packed, unpacked, votes
from spikern.timing.measurement import interleaved

SIZE = 5
MODELS = {"LIF": 24, "GRU": 40, "two layers": [20, 70]}
"""Hidden sizes; the last one's bits of two steps fill more than two words."""


def symbols_like_a_text(steps, seed):
    """Symbols of which one mostly follows from the one before."""
    rng = np.random.default_rng(seed)
    found = [0]
    for _ in range(steps - 1):
        found.append((found[-1] * 3 + 1) % SIZE if rng.random() < 0.7 else rng.integers(SIZE))
    return torch.tensor(found)


def network_of(name):
    torch.manual_seed(3)
    model = "LIF" if name == "two layers" else name
    network = build(model, SIZE, MODELS[name], SIZE, answer="every_step")
    with torch.no_grad():
        for key, value in network.named_parameters():
            if key.startswith("body.weight_ih"):
                value *= 4
    return network


STORED = text_split(symbols_like_a_text(900, 0), SIZE)
READ = text_split(symbols_like_a_text(400, 1), SIZE)
HALVES = 0.75 * dense(STORED.x) + 0.25 * dense(STORED.x).roll(1, 2)
"""Two symbols at every step, more of the one that comes."""


@pytest.fixture(scope="module", params=MODELS)
def network(request):
    return network_of(request.param)


@pytest.fixture(scope="module")
def memory(network):
    return remember(network, STORED, bits=12)


def in_two_tables(memory):
    """The memory with tables of three bits each, so that a bucket has many keys."""
    masks = np.zeros((2, memory.keys.shape[1]), np.int64)
    masks[:, 0] = 0b111 << 3, 0b10101 << 8
    return replace(memory, tables=hashed(memory.keys, masks))


def queries_of(network, memory, batch):
    """The keys (T, B, W) of a batch, from the zero state."""
    hidden = torch.cat(network.hidden(batch.x), -1).detach().numpy()
    before = np.zeros((1, len(batch), hidden.shape[2]), bool)
    return windows(hidden > memory.thresholds, before, batch.lengths.numpy())[0]


def distances(queries, keys):
    """Hamming distances (..., N) bit by bit."""
    words = 64 * keys.shape[1]
    return (unpacked(queries, words)[..., None, :] != unpacked(keys, words)).sum(-1)


def exact(queries, keys, nearest):
    """The ranks of the nearest of all keys, equal distances in the order of the store."""
    ranks = distances(queries, keys) * PLACES + np.arange(len(keys))
    return np.sort(ranks, -1)[..., :nearest]


def test_with_one_bucket_and_no_pointers_to_trust_the_search_is_exact(network, memory):
    everywhere = hashed(memory.keys, np.zeros((1, memory.keys.shape[1]), np.int64))
    whole = replace(memory, tables=everywhere)
    recalling = Recalling(network, whole, nearest=9, need=math.inf, most=len(memory.keys))
    batch = READ.batch([0, 1])
    recall = recalling.run(batch.x)
    queries = queries_of(network, memory, batch)
    expected = exact(queries, memory.keys, 9)
    assert np.unique(expected // PLACES).size > 3
    assert np.array_equal(recall.neighbours, expected)
    assert np.array_equal(nearest_of_all(queries[:, 0], memory.keys, 9), expected[:, 0])


def test_the_nearest_of_all_are_those_of_faiss(network, memory):
    """Its exhaustive index leaves the order of equal distances open, so these are compared."""
    queries = np.ascontiguousarray(queries_of(network, memory, READ.batch([0, 1]))[:, 0])
    words = memory.keys.shape[1]
    drawn = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, (5_000, words))
    for keys in (memory.keys, drawn):
        index = faiss.IndexBinaryFlat(64 * words)
        index.add(keys.view(np.uint8))
        expected, _ = index.search(queries.view(np.uint8), 9)
        assert np.unique(expected).size > 3
        assert np.array_equal(nearest_of_all(queries, keys, 9) // PLACES, expected)


def plain_search(queries, symbols, memory, nearest, need, most):
    """Neighbours and reads of one sequence; a bucket is that of a key with equal sampled bits."""
    _, begin, members = memory.tables
    all_distances = distances(queries, memory.keys)
    pointers, found, reads = [], [], []
    for d, query, symbol in zip(all_distances, queries, symbols):
        followed = [n + 1 for n in pointers if memory.values[n] == symbol]
        candidates = [n for n in followed if n < len(memory.keys)]
        left = len(candidates)
        look = left < need
        if look:
            for table, mask in enumerate(memory.tables.masks):
                alike = np.flatnonzero(((memory.keys ^ query) & mask == 0).all(1))
                if not len(alike):
                    continue
                place = np.flatnonzero(members[table] == alike[0])[0]
                bucket = np.searchsorted(begin[table], place, "right") - 1
                bucket = members[table, begin[table, bucket] : begin[table, bucket + 1]]
                taken = min(len(bucket), most)
                candidates += [bucket[e * len(bucket) // taken] for e in range(taken)]
        looked_into = len(memory.tables.masks) * look
        reads.append((len(candidates), looked_into, len(pointers), len(candidates) - left))
        pointers = sorted(set(candidates), key=lambda n: (d[n], n))[:nearest]
        found.append([d[n] * PLACES + n for n in pointers] + [EMPTY] * (nearest - len(pointers)))
    return np.array(found), np.array(reads)


@pytest.mark.parametrize(("nearest", "need", "most"), [(8, 3, 5), (4, 0, 3), (6, 100, 1000)])
def test_pointers_and_tables_read_what_they_say(network, memory, nearest, need, most):
    memory = in_two_tables(memory)
    recalling = Recalling(network, memory, nearest, need, most=most)
    batch = READ.batch([1])
    recall = recalling.run(batch.x)
    queries = queries_of(network, memory, batch)
    symbols = batch.x[:, 0].argmax(1).numpy()
    found, reads = plain_search(queries[:, 0], symbols, memory, nearest, need, most)
    assert np.array_equal(recall.neighbours[:, 0], found)
    assert np.array_equal(np.stack(recall.reads, -1)[:, 0], reads)


def test_a_key_is_in_the_bucket_of_its_sampled_bits(memory):
    masks, begin, members = memory.tables
    for mask, starts, places in zip(masks, begin, members):
        assert sorted(places) == list(range(len(memory.keys)))
        bucket = np.searchsorted(starts, np.arange(len(places)), "right")
        sampled = memory.keys[places] & mask
        _, own = np.unique(sampled, axis=0, return_inverse=True)
        assert all(len(set(bucket[own == k])) == 1 for k in range(own.max() + 1))
        assert len(set(bucket)) > 1
        assert unpacked(mask, memory.key_bits).sum() == 12


def test_a_key_is_the_bits_of_two_steps_and_its_value_the_next_symbol(network, memory):
    batch = STORED.batch([2])
    out = torch.cat(network.hidden(batch.x), -1)[:, 0].detach().numpy()
    rows = unpacked(memory.keys, memory.key_bits)
    assert np.array_equal(memory.values, STORED.y.T[STORED.y.T >= 0])
    width = out.shape[1]
    now, before = rows[256:384, :width], rows[256:384, width:]
    # an analog output may lie at its median, and sums of another batch have another order
    assert (now != (out > memory.thresholds)).mean() <= (0 if network.spiking else 1e-3)
    assert np.array_equal(before[1:], now[:-1])
    assert not before[0].any()
    share = rows[:, :width].mean(0)
    if network.spiking:
        assert 0.01 < share.mean() < 0.5
    else:
        assert np.abs(share - 0.5).max() < 1 / len(rows)


def test_a_sequence_in_pieces_is_looked_up_as_the_whole(network, memory):
    recalling = Recalling(network, memory)
    x = READ.batch([0, 1]).x
    state, found = None, []
    for piece in (x[:50], x[50:60], x[60:]):
        recall = recalling.run(piece, state)
        state = recall.state
        found.append(recall)
    whole = recalling.run(x)
    for name in ("neighbours", "probabilities"):
        in_pieces = np.concatenate([getattr(recall, name) for recall in found])
        np.testing.assert_allclose(in_pieces, getattr(whole, name), atol=1e-6)  # order of sums


@pytest.mark.parametrize("name", ["LIF", "two layers"])
def test_a_carried_state_leads_from_sequence_to_sequence(name):
    """17 sequences are 16 streams, the first of which has two sequences, that come as one here."""
    network = network_of(name)
    text = text_split(symbols_like_a_text(17 * 128 + 1, 2), SIZE)
    full = torch.tensor([256])
    x, y = text.batch(range(17)).x, text.y
    first = Batch(x[:, :2].transpose(0, 1).reshape(256, 1, SIZE), y[:, :2].T.reshape(256, 1), full)
    other = Batch(x[:, 2:], y[:, 2:], full.expand(15) // 2)
    carried, whole, others = (
        remember(network, part, carry_state=part is text) for part in (text, first, other)
    )
    assert np.array_equal(carried.keys, np.concatenate([whole.keys, others.keys]))
    assert not np.array_equal(remember(network, text).keys, carried.keys)
    recalling = Recalling(network, carried)
    found = find(recalling, text, carry_state=True).neighbours
    one_by_one = [find(recalling, part).neighbours for part in (first, other)]
    assert np.array_equal(found, np.concatenate(one_by_one))


def test_a_sequence_begins_without_a_step_before_it():
    """70 sequences are two batches."""
    memory = remember(network_of("LIF"), text_split(symbols_like_a_text(70 * 128 + 1, 3), SIZE))
    before = unpacked(memory.keys, memory.key_bits)[:, MODELS["LIF"] :]
    assert not before[::128].any()
    assert before[1::128].any()


def test_sampled_bits_are_those_that_are_set_now_and_then():
    bits_of_keys = np.random.default_rng(0).random((300, 30)) < 0.3
    bits_of_keys[:, :10], bits_of_keys[:, 10:15] = True, False
    masks = unpacked(sampled(packed(bits_of_keys), 30, tables=9, bits=6, seed=0), 30)
    assert not masks[:, :15].any()
    assert masks[:, 15:].any(0).all()
    assert (masks.sum(1) == 6).all()


def test_a_sample_alone_and_padded_is_that_of_the_batch(network, memory):
    recalling = Recalling(network, memory, nearest=7)
    batch = READ.batch([0, 1])
    lengths = torch.tensor([128, 50])
    batch.x[50:, 1] = 0.0
    both = recalling.run(batch.x, lengths=lengths)
    alone = recalling.run(batch.x[:50, 1:])
    assert np.array_equal(both.neighbours[:50, 1:], alone.neighbours)
    assert (both.neighbours[50:, 1] == EMPTY).all()
    for a, b in zip(both.state[1:], alone.state[1:]):
        axis = a.ndim - 2
        assert np.array_equal(a.take([1], axis), b)


def test_votes_are_weights_summed_by_value():
    values = np.array([2, 0, 2], np.int32)
    neighbours = np.array([[0 * PLACES + 2, 3 * PLACES + 0, 8 * PLACES + 1], [EMPTY] * 3])
    found = votes(neighbours, values, 3, 4.0)
    power = np.exp([0.0, -3 / 4, -8 / 4])
    expected = [power[2], 0, power[0] + power[1]] / power.sum()
    np.testing.assert_allclose(found, [expected, np.zeros(3)], rtol=1e-14)  # order of sums
    uniform = votes(neighbours, values, 3, math.inf)
    np.testing.assert_allclose(uniform[0], [1 / 3, 0, 2 / 3], rtol=1e-14)


def test_the_answer_is_a_mixture_and_the_networks_own_where_nothing_is_found(network, memory):
    x = READ.batch([0]).x
    own = network(x)[0].detach().double().softmax(-1).numpy()
    for mix in (0.0, 0.3):
        recall = Recalling(network, memory, mix=mix, tau=2.0).run(x)
        said = votes(recall.neighbours, memory.values, SIZE, 2.0)
        # the logits of one layer after the other are sums in another order than those of a stack
        np.testing.assert_allclose(recall.own, own, atol=1e-6)
        np.testing.assert_allclose(recall.probabilities, (1 - mix) * own + mix * said, atol=1e-6)
    nothing = Recalling(
        network, replace(memory, tables=hashed(memory.keys, memory.tables.masks[:0]))
    )
    recall = nothing.run(x)
    assert (recall.neighbours == EMPTY).all()
    assert np.array_equal(recall.probabilities, recall.own)


def test_settings_are_those_that_need_the_fewest_bits(network, memory):
    tried = {
        (nearest, mix, tau): bits(
            find(Recalling(network, memory, nearest), READ).probabilities(mix, tau)
        )
        for nearest in (4, 32)
        for mix in (0.2, 0.7)
        for tau in (1.0, math.inf)
    }
    chosen = choose(network, memory, READ, (4, 32), mix=(0.2, 0.7), tau=(1.0, math.inf))
    best = min(tried, key=tried.get)
    assert (chosen.nearest, chosen.mix, chosen.tau) == best
    batch = READ.batch(range(len(READ)))
    p = chosen.run(batch.x, lengths=batch.lengths).probabilities
    labelled = batch.y.T >= 0
    p = np.take_along_axis(p, batch.y.clamp(0).numpy()[..., None], 2)[..., 0].T[labelled]
    assert bits(p) == pytest.approx(tried[best], rel=1e-12)
    again = find(chosen, READ).probabilities(chosen.mix, chosen.tau)
    np.testing.assert_allclose(again, p, rtol=1e-12)  # order of sums


def test_a_memory_of_a_part_of_the_text_holds_its_first_keys(network, memory):
    part = memory.first(100)
    assert part.nbytes < memory.nbytes
    assert (part.tables.members < 100).all()
    recalling = Recalling(network, part, nearest=5, need=math.inf)
    looked = find(recalling, READ)
    found = looked.neighbours
    assert (found[found != EMPTY] % PLACES < 100).all()


@pytest.mark.parametrize("name", ["LIF", "two layers"])
def test_a_stream_with_a_memory_gives_the_same_step_by_step(name):
    network = network_of(name)
    memory = remember(network, STORED)
    recall = Recalling(network, memory, 8, 3).run(READ.batch([0]).x)
    stream = RecallingStream(compile_stream(network), memory, 8, 3)
    state = stream.zero_state()
    answers = [stream.step(x, state) for x in READ.batch([0]).x[:, 0].numpy()]
    # the readout of a whole sequence may be a product of matrices, whose sums have another order
    np.testing.assert_allclose(np.stack(answers), recall.probabilities[:, 0], atol=1e-6)
    for a, b in zip(state[1:], recall.state[1:]):
        assert np.array_equal(a, b)


def test_a_memory_is_read_as_it_was_written(network, memory, tmp_path):
    memory.save(tmp_path / "memory.safetensors")
    again = load_memory(tmp_path / "memory.safetensors")
    assert (again.steps, again.nbytes) == (memory.steps, memory.nbytes)
    answers = [Recalling(network, m).run(READ.batch([0]).x).probabilities for m in (again, memory)]
    assert np.array_equal(*answers)


DAMAGED = {
    "of a stream": (lambda m: compile_stream(network_of("LIF")), "is not a file of Memory"),
    "of no key": (lambda m: replace(m, keys=m.keys[:0]), "expected values"),
    "of too few words": (lambda m: replace(m, steps=9), "9 steps do not make"),
    "of a place outside": (
        lambda m: replace(m, tables=m.tables._replace(members=m.tables.members + 1)),
        "out of range",
    ),
    "of a bucket outside": (
        lambda m: replace(m, tables=m.tables._replace(begin=m.tables.begin[:, ::-1].copy())),
        "out of range",
    ),
    "of another kind": (lambda m: replace(m, values=m.values.astype(np.int64)), "int64"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_of_what_is_no_memory_is_refused(name, tmp_path):
    make, message = DAMAGED[name]
    make(remember(network_of("LIF"), STORED)).save(tmp_path / "memory.safetensors")
    with pytest.raises(DataError, match=message):
        load_memory(tmp_path / "memory.safetensors")


def saved_stream(folder, text=STORED):
    network = network_of("LIF")
    memory = remember(network, text)
    stream = RecallingStream(compile_stream(network), memory, 8, 3, tau=math.inf)
    stream.save(folder)
    return stream


WITHOUT_TORCH = """
import sys
import numpy as np
from spikern.retrieval import load_recalling

stream = load_recalling(sys.argv[1])
state = stream.zero_state()
for symbol in (0, 1, 4, 3):
    answer = stream.step(np.eye(5, dtype=np.float32)[symbol], state)
assert "torch" not in sys.modules
print(answer.tobytes().hex())
"""


def test_a_saved_stream_with_its_memory_answers_without_torch(tmp_path):
    stream = saved_stream(tmp_path)
    state = stream.zero_state()
    for symbol in (0, 1, 4, 3):
        answer = stream.step(np.eye(SIZE, dtype=np.float32)[symbol], state)
    code = [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path)]
    done = subprocess.run(code, capture_output=True, text=True)
    assert done.stdout.strip() == answer.tobytes().hex(), done.stderr


def test_a_memory_of_another_save_is_refused(tmp_path):
    for name, text in (("0", STORED), ("1", READ)):
        saved_stream(tmp_path / name, text)
    shutil.copy(tmp_path / "1" / "memory.safetensors", tmp_path / "0")
    with pytest.raises(DataError, match="not saved together"):
        load_recalling(tmp_path / "0")


@pytest.mark.parametrize(("name", "value"), [("nearest", "many"), ("mix", "1.5")])
def test_impossible_settings_of_a_saved_stream_are_refused(tmp_path, name, value):
    saved_stream(tmp_path)
    settings = json_file.read(tmp_path / "settings.json")
    json_file.write(tmp_path / "settings.json", settings | {name: value})
    with pytest.raises(DataError, match="does not hold a stream with a memory"):
        load_recalling(tmp_path)


def test_the_latency_of_a_step_can_be_measured(tmp_path):
    stream = saved_stream(tmp_path)
    x, state = np.eye(SIZE, dtype=np.float32)[1], stream.zero_state()
    alone = stream.stream.zero_state()
    times = interleaved(
        {"with": lambda: stream.step(x, state), "without": lambda: stream.stream.step(x, alone)}, 3
    )
    assert min(times["with"]) > min(times["without"]) > 0


@pytest.mark.usefixtures("one_thread")
def test_a_class_that_was_held_out_is_learned_from_five_examples():
    digits = load("digits")
    held = 0
    known = digits.with_splits(lambda part: part.batch(torch.nonzero(part.y != held).flatten()))
    torch.manual_seed(0)
    network = build("GRU", digits.input_size, 32, digits.classes)
    fit(network, known, Training(epochs=3, batch_size=32, learning_rate=3e-2), bar=False)
    test = digits.test.batch(range(len(digits.test)))
    own = network(test.x)[0].argmax(1).numpy()
    y = test.y.numpy()
    assert not (own == held).any()
    right = []
    for seed in range(3):
        memory = remember_classes(network, examples(known.train, 5, seed))
        few = examples(digits.train, 5, seed)
        new = few.batch(torch.nonzero(few.y == held).flatten())
        for stored in (memory, remember_classes(network, new, beside=memory)):
            answers = recall_classes(network, stored, test.x).argmax(1)
            right.append([(answers[y == k] == k).mean() for k in (held, *range(1, 10))])
    without, learned = np.mean(right[::2], 0), np.mean(right[1::2], 0)
    assert without[held] == 0
    # one of ten by chance; what was known loses little
    assert learned[held] > 0.3
    assert learned[1:].mean() > without[1:].mean() - 0.1 > 0.3


def test_the_key_of_a_sequence_counts_quantiles_of_its_last_steps():
    network = network_of("LIF")
    x, lengths = READ.batch([0, 1, 2]).x[:40], torch.tensor([40, 12, 30])
    x = x * (torch.arange(40)[:, None, None] < lengths[:, None])
    hidden = network.hidden(x)[0].detach().numpy()
    rates = [hidden[max(n - 16, 0) : n, b].mean(0) for b, n in enumerate(lengths.tolist())]
    memory = remember_classes(network, Batch(x, torch.tensor([1, 0, 1]), lengths), levels=3)
    ranks = (np.array(rates)[:, None] > memory.thresholds).sum(1)
    apart = np.abs(ranks[:, None] - ranks).sum(2)
    assert len(np.unique(apart)) == 4
    assert np.array_equal(distances(memory.keys, memory.keys), apart)
    # each sequence is its own nearest
    p = recall_classes(network, memory, x, lengths, nearest=1)
    assert np.array_equal(p.argmax(1), memory.values)


REFUSED = {
    "a data set": (lambda n: remember(n, "STORED"), "expected one split"),
    "labels that do not follow": (
        lambda n: remember(n, replace(STORED, y=STORED.y.flip(0))), "expected a text",
    ),
    "another network": (
        lambda n: Recalling(build("LIF", SIZE, 9, SIZE, "every_step"), remember(n, STORED)),
        "remember with the network itself",
    ),
    "one answer per sequence": (
        lambda n: remember(build("LIF", SIZE, 9, SIZE), STORED), "answer='every_step'",
    ),
    "both directions": (
        lambda n: remember(build("LIF", SIZE, 9, SIZE, "every_step", bidirectional=True), STORED),
        "sees the symbols",
    ),
    "labels at every step": (
        lambda n: remember_classes(n, STORED.batch([0])), "one label per sequence",
    ),
    "a state of another batch": (
        lambda n: Recalling(n, remember(n, STORED)).run(
            STORED.batch([0, 1]).x, Recalling(n, remember(n, STORED)).run(STORED.batch([0]).x).state
        ),
        "sample|state",
    ),
    "a state of other settings": (
        lambda n: Recalling(n, remember(n, STORED), nearest=5).run(
            STORED.batch([0]).x, Recalling(n, remember(n, STORED)).run(STORED.batch([0]).x).state
        ),
        "expected a state with bits",
    ),
    "no steps": (lambda n: remember(n, STORED, steps=0), "at least 1"),
    "no key": (lambda n: remember(n, STORED).first(0), "expected 1 to 899 keys"),
    "no neighbours": (lambda n: Recalling(n, remember(n, STORED), nearest=0), "at least 1"),
    "a mix above 1": (lambda n: Recalling(n, remember(n, STORED), mix=1.5), "mix in 0..1"),
    "a mix above 1 among others": (
        lambda n: choose(n, remember(n, STORED), None, mix=np.array([0.5, 1.5])), "mix in 0..1",
    ),
    "all splits to remember": (lambda n: remember(n, load("digits")), "expected one split"),
    "all splits to judge": (
        lambda n: find(Recalling(n, remember(n, STORED)), load("digits")), "expected one split",
    ),
    "all splits to draw from": (lambda n: examples(load("digits"), 2), "expected one split"),
    "all splits of classes": (
        lambda n: remember_classes(n, load("digits")), "data must be Split, got Dataset",
    ),
    "symbols in two halves": (
        lambda n: remember(n, replace(STORED, x=HALVES)),
        "expected a text",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_looked_up_is_refused(name):
    call, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        call(network_of("LIF"))


def test_a_table_of_counts_gives_probabilities():
    text, order, prior = symbols_like_a_text(60, 2).numpy(), 2, 0.5
    endings = [np.append(text[-order:], c) for c in range(SIZE)]
    found = [probabilities(counted(text, e, order, SIZE), prior, SIZE)[-1] for e in endings]
    assert sum(found) == pytest.approx(1.0)
    # After "a" of "aab": half of two, with a prior of 2 for (2 + 2/3) / 5 of a among all three.
    first = probabilities(counted(np.array([0, 0, 1]), np.array([0, 0]), 1, 3), 2.0, 3)
    assert first[1] == pytest.approx((1 + 2 * (2 + 2 / 3) / 5) / (2 + 2))


def test_a_shared_passage_ends_where_its_last_symbol_is():
    text, read = text_of(STORED), text_of(READ)
    read[40:52] = text[100:112]
    stored = [text[k : k + 9].tolist() for k in range(len(text) - 8)]
    expected = [k >= 8 and read[k - 8 : k + 1].tolist() in stored for k in range(len(read))]
    assert np.array_equal(shared_passages(text, read, 9), expected)
    assert sum(expected) in range(4, len(read) - 8)


@pytest.mark.data
def test_nothing_that_is_judged_is_in_the_store():
    data = load("tinyshakespeare").thinned(200)
    network = build("LIF", data.input_size, 8, data.classes, "every_step", dt=data.dt)
    memory = remember(network, data.train)
    assert np.array_equal(memory.values, text_of(data.train))
    others = [load("tinyshakespeare").validation, load("tinyshakespeare").test]
    shared = [shared_passages(memory.values, text_of(split), 40).any() for split in others]
    assert shared == [False, False]


def brute_counts(recalling, queries, symbols):
    """Operations and reads of the memory over one sequence, tallied one after the other."""
    memory, classes = recalling.memory, recalling.network.classes
    found, reads = plain_search(
        queries, symbols, memory, recalling.nearest, recalling.need, recalling.most
    )
    done, read = Counter(), Counter()
    for neighbours, (keys, looked_into, pointers, places) in zip(found, reads):
        done["compare"] += 0 if recalling.network.spiking else len(memory.thresholds)
        for _ in range(keys):
            for word in range(memory.keys.shape[1]):
                read["keys"] += 1
                done["add"] += 1 + 8 + (word > 0)
            done["compare"] += 1
        for _ in range(looked_into):
            read["buckets"] += 2
        for _ in range(pointers):
            read["symbols"] += 1
            done["compare"] += 1
        read["places"] += places
        for _ in neighbours[neighbours != EMPTY]:
            read["symbols"] += 1
            done += Counter(mul=1, exp=1, add=2)
        for _ in range(classes):
            done += Counter(mul=2, exp=1, add=2)
        done["div"] += 2
    return done, read


def test_the_memory_is_counted_as_brute_force_counts_it(network, memory):
    recalling = Recalling(network, in_two_tables(memory), nearest=8, need=3, most=5)
    batch = READ.batch([0, 3])
    counts = count_recalling(recalling, batch.x, lengths=batch.lengths)
    queries = queries_of(network, memory, batch)
    done, read = Counter(), Counter()
    for b, steps in enumerate(batch.lengths.tolist()):
        symbols = batch.x[:steps, b].argmax(1).numpy()
        ops, reads = brute_counts(recalling, queries[:steps, b], symbols)
        done += ops
        read += reads
    layer = counts["memory"]
    assert layer.ops.updates == done
    assert {a.kind: a.reads for a in layer.stores if a.kind != "states"} == read
    assert counts.layers[:-1] == count(network, batch.x, batch.lengths, events=True).layers
    twice = counts + counts
    assert twice["memory"].ops.updates == {kind: 2 * n for kind, n in done.items()}
    assert [a.reads for a in twice["memory"].stores] == [2 * a.reads for a in layer.stores]


def test_counts_of_memories_of_two_sizes_are_not_added(network, memory):
    x = READ.batch([0]).x
    small, large = (
        count_recalling(Recalling(network, held), x) for held in (memory.first(100), memory)
    )
    assert (large + large)["memory"].ops.neuron_updates == 2 * large["memory"].ops.neuron_updates
    with pytest.raises(InputError, match="only counts of the same network can be added"):
        small + large


def test_a_store_is_priced_by_its_size_or_has_no_estimate(network, memory):
    counts = count_recalling(Recalling(network, memory), READ.batch([0]).x)
    fp32, *others = (tables()["45nm_fp32"], tables()["loihi1"], conventions()["tclif"])
    small = energy(counts, fp32, "registers").parts
    words = {a.kind: a for a in counts["memory"].stores}
    assert small["keys"] == words["keys"].reads * fp32.sram.price(words["keys"].bytes)
    assert small["buckets"] == words["buckets"].reads * fp32.sram.price(words["buckets"].bytes)
    large = [words["keys"]._replace(stored=2**20)]
    outside = {"keys": words["keys"].reads * fp32.dram.pj}
    assert memory_pj(large, fp32) == memory_pj(large, fp32, dram=True) == outside
    assert memory_pj(large, replace(fp32, dram=None)) is None
    assert energy(counts, fp32, "lemaire 2022") is None
    assert [energy(counts, table) for table in others] == [None, None]


def test_a_memory_of_classes_refuses_what_it_cannot_use():
    digits = load("digits")
    network, other = (build("LIF", digits.input_size, n, digits.classes) for n in (16, 20))
    few = examples(digits.train, 2)
    memory, x = remember_classes(network, few), digits.test.batch([0]).x
    gru = build("GRU", digits.input_size, 16, digits.classes)
    for call, message in (
        (lambda: examples(digits.train, -1), "number must be at least 1, got -1"),
        (lambda: examples(digits.train, 200), "class 0 has 1.. sequences, 200 were asked for"),
        (lambda: remember_classes(gru, few, beside=memory), "a spiking network, this standard"),
        (lambda: recall_classes(gru, memory, x), "a spiking network, this standard"),
        (lambda: remember_classes(network, few, steps=0), "steps must be at least 1, got 0"),
        (lambda: remember_classes(network, few, levels=0), "levels must be at least 1, got 0"),
        (lambda: recall_classes(network, memory, x, tau=0.0), "tau must be above 0, got 0"),
        (lambda: recall_classes(network, memory, x, nearest=0), "nearest must be at least 1"),
        (lambda: recall_classes(other, memory, x), "memory is of 16 hidden outputs .* has 20"),
        (lambda: remember_classes(other, few, beside=memory), "memory is of 16 hidden outputs"),
    ):
        with pytest.raises(InputError, match=message):
            call()


def test_histories_without_a_number_of_their_own_are_refused():
    text = np.arange(40) % 3
    assert counted(text, text, 11, 31)[11][1].sum() > 0
    for size in (31, np.int64(31)):
        with pytest.raises(InputError, match="31 symbols have too many histories of 12"):
            counted(text, text, 12, size)
    with pytest.raises(InputError, match="symbols from 0 to 1, got 0 to 2; raise size"):
        counted(np.array([0, 1]), text, 1, 2)
    with pytest.raises(InputError, match="an order of at least 0, got -1"):
        counted(text, text, -1, 3)


def test_impossible_tables_of_counts_are_refused():
    counts = counted(np.array([0, 1]), np.array([0, 1]), order=1, size=2)
    with pytest.raises(InputError, match=r"expected a prior above 0, got 0\.0"):
        probabilities(counts, prior=0.0, size=2)
    for length in (0, 2):
        with pytest.raises(InputError, match=f"a length of 1 to 1, the shorter text, got {length}"):
            shared_passages(np.array([0]), np.array([0, 1, 2]), length)


def test_a_memory_is_of_the_kind_of_its_network():
    torch.manual_seed(3)
    gru, lif = (build(kind, SIZE, 24, SIZE, answer="every_step") for kind in ("GRU", "LIF"))
    memory = remember(gru, STORED)
    for make in (
        lambda: RecallingStream(compile_stream(lif), memory),
        lambda: Recalling(lif, memory),
    ):
        with pytest.raises(InputError, match="the memory is of a standard network"):
            make()
    with pytest.raises(InputError, match="the memory is of a spiking network, the network does no"):
        Recalling(gru, remember(lif, STORED))


@pytest.mark.parametrize("delay", [0, 2])
def test_a_stream_with_a_memory_of_some_of_its_layers_is_refused(delay, tmp_path):
    torch.manual_seed(3)
    first, both = (
        build("LIF", SIZE, widths, SIZE, answer="every_step", delay=delay)
        for widths in ([24], [24, 24])
    )
    memory = remember(first, STORED)
    compile_stream(both).save(tmp_path / "both")
    for stream in (compile_stream(both), load_stream(tmp_path / "both")):
        assert stream.body == 2
        with pytest.raises(InputError, match=r"is of 24 hidden outputs .* the network has 48"):
            RecallingStream(stream, memory)
    assert RecallingStream(compile_stream(both), remember(both, STORED)).memory.key_bits == 96


def test_a_readout_of_several_layers_is_no_part_of_the_memory():
    torch.manual_seed(3)
    network = Network(
        SpikingRNN("LIF", SIZE, 24), Readout(24, [7, SIZE], ["LIF", "LI"]), "every_step"
    )
    memory = remember(network, STORED)
    stream = RecallingStream(compile_stream(network), memory, 8, 3)
    x = READ.batch([0]).x[:20]
    wanted = Recalling(network, memory, 8, 3).run(x).probabilities[:, 0]
    state = stream.zero_state()
    answers = [stream.step(step.numpy(), state) for step in x[:, 0]]
    np.testing.assert_allclose(answers, wanted, atol=1e-6)


def test_hidden_neurons_of_a_memory_fire():
    network = Network(
        SpikingRNN(["LI", "LIF"], SIZE, [4, 5], recurrent=[False, True]), Readout(5, SIZE),
        "every_step",
    )  # fmt: skip
    with pytest.raises(InputError, match="expected hidden neurons that fire"):
        remember(network, STORED)


@pytest.mark.parametrize("kind", ["GRU", "LIF"])
def test_a_network_of_double_precision_is_remembered(kind, tmp_path):
    memory = remember(build(kind, SIZE, 24, SIZE, answer="every_step").double(), STORED)
    memory.save(tmp_path / "memory.safetensors")
    assert load_memory(tmp_path / "memory.safetensors").thresholds.dtype == np.float32
    digits = load("digits")
    alone = build(kind, 1, 8, 10).double()
    assert len(remember_classes(alone, examples(digits.train, 2)).keys) == 20


def test_a_state_that_does_not_fit_is_refused_as_it_was():
    network = network_of("LIF")
    memory = remember(network, STORED)
    few, many = (RecallingStream(compile_stream(network), memory, n) for n in (3, 64))
    state = few.zero_state()
    with pytest.raises(InputError, match="expected a state with bits"):
        many.step(np.eye(SIZE, dtype=np.float32)[1], state)
    assert not state.network.any()


def test_a_search_tries_something():
    network = network_of("LIF")
    with pytest.raises(InputError, match="at least one value each"):
        choose(network, remember(network, STORED), READ, mix=())
    with pytest.raises(InputError, match=r"expected symbols x \(T, B, C\)"):
        Recalling(network, remember(network, STORED)).run(torch.zeros(5, SIZE))
