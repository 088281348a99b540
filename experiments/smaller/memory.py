"""Memories beside networks of characters: bits, what is read, what it costs; fills in the page.

python experiments/smaller/memory.py             # search, train, judge; hours; resumes
python experiments/smaller/memory.py --no-train  # only the page again, from memory.json
python experiments/smaller/memory.py --smoke     # minutes; shows that it runs, writes in runs/ only
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro
from common import (
    FIXED,
    HERE,
    RATES,
    READ,
    SHORT,
    TABLES,
    VIEWS,
    Config,
    Learning,
    Model,
    Row,
    energies,
    extent,
    joined,
    learned,
    spread,
    table_of_counts,
    text,
)  # fmt: skip
from matplotlib.figure import Figure

from spikern._utils.program import errors_in_one_line
from spikern.data import Dataset
from spikern.layers import compile_stream
from spikern.plot.style import CLASSES, LINES, MARKERS, MUTED, tidy
from spikern.report import markdown
from spikern.report.publishing import publish
from spikern.retrieval import (
    Recalling,
    RecallingStream,
    bits,
    choose,
    count_recalling,
    find,
    remember,
)
from spikern.retrieval.ngrams import shared_passages, text_of
from spikern.studies import mean
from spikern.studies.jobs import files, key
from spikern.studies.runner import run_all
from spikern.studies.statistics import paired
from spikern.timing.measurement import interleaved
from spikern.train import load_network

SHARES = (0.1, 0.3, 1.0)
"""Shares of the text that are stored."""
ORDER, PRIORS = 6, (8.0, 16.0, 32.0, 64.0)
"""Characters that the count table looks back, and the priors that it is tried with."""
BLOCK = 1000
"""Characters of a block over which bits are compared in pairs."""
AXES = {
    "45nm_int8, operations": "pJ per character for operations, 45nm_int8",
    "45nm_int8, read-modify-write": "pJ with memory traffic, 45nm_int8",
    "microseconds": "µs of a step at batch 1",
}
"""The panels of the figure."""
COMMON = (20, 30, 40)
"""Lengths of passages that the stored text and the test may share."""


MODELS = (
    Model("AdLIF", "AdLIF", RATES),
    Model("ALIF", "ALIF", RATES),
    FIXED,
    Model("GRU", "GRU", (5e-3, 1e-2, 2e-2, 4e-2)),
    Model("GRU, 5 times", "GRU", (2.5e-3, 5e-3, 1e-2, 2e-2), budget=None, hidden=256),
)


@dataclass(frozen=True)
class Judging:
    """A trained network with a memory of a share of the text."""

    network: Learning
    bits: int
    """Sampled bits of a hash table; spikes are rarer than medians, and need more."""
    share: float


def judge(config: Judging, _: Path, out: Path) -> Row:
    """Bits on the test with and without memory and counts, and what they cost."""
    network = load_network(files(out, key(config.network)).checkpoint)
    data = text(config.network.first)
    memory = remember(network, data.train, bits=config.bits, carry_state=True)
    memory = memory.first(round(config.share * len(memory.keys)))
    asked = {"nearest": (16, 64), "need": (4, 8, 16), "carry_state": True}
    recalling = choose(network, memory, data.validation, **asked)
    uniform = choose(network, memory, data.validation, **asked, tau=(np.inf,))
    splits = data.validation, data.test
    found = [find(recalling, split, carry_state=True) for split in splits]
    own = [each.own for each in found]
    looked = [each.probabilities(recalling.mix, recalling.tau) for each in found]
    plain = find(uniform, data.test, carry_state=True).probabilities(uniform.mix, np.inf)
    counts = table_of_counts(config.network.first, config.share, ORDER, PRIORS)
    answers = {
        "alone": own[1],
        "memory": looked[1],
        "memory, uniform": plain,
        "counts alone": counts[1],
        "counts": joined(own, counts),
        "both": joined(looked, counts),
    }
    reads = found[1].reads
    return {
        "settings": {name: getattr(recalling, name) for name in ("nearest", "need", "mix", "tau")},
        "bits": {name: bits(p) for name, p in answers.items()},
        "blocks": {
            name: [bits(part) for part in np.array_split(p, max(2, len(p) // BLOCK))]
            for name, p in answers.items()
        },
        "reads": {name: float(each.mean()) for name, each in reads._asdict().items()},
        "bytes": memory.nbytes,
        "cost": cost_of(recalling, data),
        "microseconds": times_of(recalling),
    }


def cost_of(recalling: Recalling, data: Dataset) -> Row:
    """Estimates in pJ per character of the network and of its memory, by table and view."""
    batch = data.test.batch(range(min(READ, len(data.test))))
    whole = count_recalling(recalling, batch.x, lengths=batch.lengths)
    alone = replace(whole, layers=whole.layers[:-1])
    characters = int(batch.lengths.sum())
    pair = [energies(counts, characters) for counts in (alone, whole)]
    own = {"ac": alone.ops.ac / characters, "mac": alone.ops.mac / characters}
    return own | {name: [each[name] for each in pair] for name in pair[0]}


def times_of(recalling: Recalling) -> list[float] | None:
    """Microseconds of a step at batch 1 without and with the memory; None without a stream."""
    if not recalling.network.spiking:
        return None
    settings = {name: getattr(recalling, name) for name in ("nearest", "need", "mix", "tau")}
    stream = compile_stream(recalling.network)
    looking = RecallingStream(stream, recalling.memory, **settings)
    characters = np.eye(stream.input_size, dtype=np.float32)
    state, own = looking.zero_state(), stream.zero_state()
    rounds = {
        "alone": lambda: [stream.step(x, own) for x in characters],
        "memory": lambda: [looking.step(x, state) for x in characters],
    }
    samples = interleaved(rounds, 7)
    return [1e3 * float(np.median(samples[name])) / len(characters) for name in rounds]


def carry_out(config: Config) -> Row:
    """Results: one row for each network, seed and share of the text."""
    whole = extent(config.seeds, config.smoke)
    out = config.folder
    rows = []
    for model in MODELS:
        rate, networks, results = learned(model, whole, out, config.workers)
        sampled = 32 if model.gated else 64
        jobs = [
            (seed, share, Judging(network, sampled, share))
            for seed, network in enumerate(networks)
            for share in (SHARES if seed == 0 else SHARES[-1:])
        ]
        judged = run_all(
            functools.partial(judge, out=out), [job for *_, job in jobs], out / "memory",
            config.workers,
        )  # fmt: skip
        rows += [
            {"model": model.name, "seed": seed, "share": share, "rate": rate}
            | results[seed]
            | found
            for (seed, share, _), found in zip(jobs, judged)
        ]
    common = common_passages(SHORT if config.smoke else None)
    return {"rows": rows, "common": common}


def common_passages(first: int | None) -> dict[str, int]:
    """Characters of the test text at which a long passage ends that is in the stored text too."""
    data = text(first)
    stored, read = text_of(data.train), text_of(data.test)
    return {str(n): int(shared_passages(stored, read, n).sum()) for n in COMMON}


def of(rows: Sequence[Row], model: str, share: float) -> list[Row]:
    """The rows of a model and a share of the text, by seed."""
    return [row for row in rows if (row["model"], row["share"]) == (model, share)]


def bits_table(rows: Sequence[Row]) -> str:
    """Bits per character on the test, by network."""
    kinds = ("alone", "memory", "memory, uniform", "counts alone", "counts", "both")
    lines = []
    for model in MODELS:
        own = of(rows, model.name, SHARES[-1])
        found = [spread([row["bits"][kind] for row in own]) for kind in kinds]
        read = f"{mean([row['reads']['keys'] for row in own]):.0f}"
        size = f"{own[0]['bytes'] / 1e6:.1f} MB"
        lines.append([model.name, f"{own[0]['parameters']:,}", size, *found, read])
    head = ["network", "parameters", "memory", *kinds, "keys read per character"]
    return markdown.table(head, lines)


def compared(rows: Sequence[Row]) -> str:
    """Bits that a memory saves, alone and beside counts, and against a larger network."""
    small, large = MODELS[-2:]
    pairs = [
        (model, kind, model, without)
        for model in MODELS
        for without, kind in (("alone", "memory"), ("counts", "both"))
    ]
    lines = []
    for one, kind, other, against in (*pairs, (small, "memory", large, "alone")):
        blocks = [of(rows, m.name, SHARES[-1])[0]["blocks"] for m in (other, one)]
        pair = paired(blocks[0][against], blocks[1][kind])
        between = f"{pair.low:+.3f} to {pair.high:+.3f}"
        names = [f"{one.name}: {kind}", f"{other.name}: {against}"]
        lines.append([*names, f"{pair.difference:+.3f}", between])
    return markdown.table(["with", "without", "bits saved", "interval"], lines, (0, 1))


def shares_table(rows: Sequence[Row]) -> str:
    """Bits with a memory, and with counts, of a part of the text."""
    lines = []
    for model in MODELS:
        for share in SHARES:
            row = of(rows, model.name, share)[0]
            found = [f"{row['bits'][kind]:.3f}" for kind in ("alone", "memory", "counts", "both")]
            lines.append([model.name, f"{share:.0%}", *found, f"{row['reads']['keys']:.0f}"])
    head = ["network", "stored", "alone", "memory", "counts", "both", "keys read"]
    return markdown.table(head, lines)


def costs(row: Row, name: str) -> tuple[float, float] | None:
    """A cost of a network alone and with its memory, if both are known."""
    pair = row["microseconds"] if name == "microseconds" else row["cost"][name]
    return None if pair is None or None in pair else (pair[0], pair[1])


def cost_table(rows: Sequence[Row]) -> str:
    """Estimates per character, network alone and with its memory, and time at batch 1."""
    lines = []
    for model in MODELS:
        row = of(rows, model.name, SHARES[-1])[0]
        for name in TABLES:
            for view in VIEWS:
                shown = 3 * ["-"]
                if pair := costs(row, f"{name}, {view}"):
                    alone, whole = pair
                    shown = [f"{alone / 1e3:.2f} nJ", f"{whole / 1e3:.1f} nJ"]
                    shown.append(f"{whole / alone:.1f}")
                lines.append([model.name, name, view, *shown])
        if pair := costs(row, "microseconds"):
            alone, whole = pair
            shown = [f"{alone:.1f} µs", f"{whole:.1f} µs", f"{whole / alone:.1f}"]
            lines.append([model.name, "time at batch 1", "stream", *shown])
    head = ["network", "table", "view", "alone", "with memory", "times"]
    return markdown.table(head, lines, (0, 1, 2))


def figure(results: Row) -> Figure:
    """Bits against three costs, from each network alone (hollow) to it with its memory (filled)."""
    rows = results["rows"]
    made = Figure(figsize=(4.4 * len(AXES), 4.4), layout="constrained")
    for axis, (name, label) in zip(made.subplots(1, len(AXES), sharey=True), AXES.items()):
        for k, model in enumerate(MODELS):
            row = of(rows, model.name, SHARES[-1])[0]
            pair = costs(row, name)
            if pair is not None:
                y = [row["bits"][kind] for kind in ("alone", "memory")]
                axis.plot(pair, y, LINES[k], color=CLASSES[k], label=model.name)
                for x, bits_of, fill in zip(pair, y, ("none", CLASSES[k])):
                    axis.plot(x, bits_of, MARKERS[k], color=CLASSES[k], markerfacecolor=fill)
        counts = of(rows, MODELS[0].name, SHARES[-1])[0]["bits"]["counts alone"]
        axis.axhline(counts, color=MUTED, linestyle=":", label="a table of counts")
        axis.set(xscale="log", xlabel=label)
        tidy(axis)
    axis = made.axes[0]
    axis.set_ylabel("bits per character, test")
    made.legend(
        *axis.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False
    )
    return made


def places(results: Row) -> dict[str, str]:
    """What is filled in on the page, by place."""
    rows = results["rows"]
    shared = [f"{n} at passages of {k}" for k, n in results["common"].items()]
    return {
        "memory bits": bits_table(rows),
        "memory compared": compared(rows),
        "memory shares": shares_table(rows),
        "memory cost": cost_table(rows),
        "memory common": f"Characters of the test that end a stored passage: {', '.join(shared)}.",
    }


if __name__ == "__main__":
    with errors_in_one_line():
        publish(tyro.cli(Config), HERE, "memory", carry_out, places, {"memory": figure})
