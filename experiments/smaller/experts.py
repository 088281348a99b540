"""Groups of neurons of which a character wakes two, beside dense networks; fills in the page.

python experiments/smaller/experts.py             # search, train, judge; hours; resumes
python experiments/smaller/experts.py --no-train  # only the page again, from experts.json
python experiments/smaller/experts.py --add       # train only the seeds that experts.json lacks
python experiments/smaller/experts.py --smoke     # minutes; shows that it runs, in runs/ only
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch
import tyro
from common import (
    COSTS,
    FIXED,
    HERE,
    RATES,
    READ,
    Floats,
    Learning,
    Model,
    Row,
    averages,
    extent,
    gains_table,
    joined,
    learn,
    learned,
    noisy_text,
    of,
    priced,
    spread,
    table_of_counts,
    text,
    trained,
)  # fmt: skip
from matplotlib.figure import Figure

from spikern import Network
from spikern._utils import json_file
from spikern._utils.program import errors_in_one_line
from spikern.cost import count
from spikern.data.dataset import Split
from spikern.layers import compile_stream
from spikern.plot.style import COLOURS, tidy
from spikern.report import markdown
from spikern.report.numbers import significant
from spikern.report.publishing import publish
from spikern.retrieval import bits
from spikern.retrieval.remembering import labelled_steps, run
from spikern.studies.jobs import files, key
from spikern.studies.runner import run_all
from spikern.studies.statistics import paired
from spikern.studies.trainings import model_of
from spikern.timing.measurement import interleaved
from spikern.train import load_network
from spikern.train.batches import carried, in_order
from spikern.train.trial import fresh_network

DENSE = (
    *(Model(f"dense, {width}", "ALIF", RATES, None, width) for width in (32, 64, 128, 256)),
    *(Model(f"dense, {width}", "ALIF", RATES[1:2], None, width) for width in (480, 960)),
)
LEARNED = Model("8 groups of 32, learned", "ALIF", RATES, None, 256, 8, "learned")
RANDOM = Model("8 groups of 32, by chance", "ALIF", RATES, None, 256, 8)
LARGE = Model("16 groups of 32, by the character", "ALIF", RATES, None, 512, 16)
TEN_TIMES = Model("8 groups of 120, by the character", "ALIF", RATES[1:2], None, 960, 8)
"""Ten times the parameters of the groups of 32; as the dense networks of its size it has the
learning rate that was best for 256 and 512 neurons, dense and in groups."""
GROUPS = (FIXED, LEARNED, RANDOM, LARGE, TEN_TIMES)
SLOWER, BANKED = (2.5e-3, 5e-3, 1e-2, 2e-2), (5e-3, 1e-2, 2e-2, 4e-2)
"""Learning rates of the GRU, some of whose seeds fall apart at 0.04, and of the banks."""
GATED = (
    Model("GRU, 64", "GRU", SLOWER, None, 64),
    Model("GRU, 8 banks of 64", "GRU", BANKED, None, 64, 8),
    Model("GRU, 128", "GRU", SLOWER, None, 128),
    Model("LSTM, 64", "LSTM", RATES, None, 64),
    Model("LSTM, 8 banks of 64", "LSTM", BANKED, None, 64, 8),
)
MODELS = (*DENSE, *GROUPS, *GATED)
ROUNDS = 21
"""How often each network is timed."""
ORDER, PRIORS = 1, (8.0,)
"""The count table of pairs, which routing by the character knows."""
AXES = {
    "operations": "accumulations and products per character",
    "45nm_int8, read-modify-write": "pJ with memory traffic, 45nm_int8",
    "microseconds": "µs of a step at batch 1",
}
"""The panels of the figure."""


@dataclass(frozen=True)
class Config(common.Config):
    """How much is done, and whether it is added to what there is."""

    add: bool = False
    """Keep what experts.json has, and train only the seeds that it lacks."""


@dataclass(frozen=True)
class Judging:
    """A trained network, whose groups chance wakes or not."""

    network: Learning
    random: bool


def learn_by_chance(config: Learning, checkpoint: Path) -> Row:
    """Train a network whose groups are named by the symbols of chance, which it does not hear."""
    data, job = noisy_text(config.first), config.training
    model, settings = model_of(job)
    network = fresh_network(model, job.hidden_size, data, job.seed, job.answer, **settings)
    size = data.input_size // 2
    table, weight = network.body.weight_rt_l0, network.body.weight_ih_l0
    with torch.no_grad():
        table[:, size:] = table[:, :size]
        table[:, :size] = 0
        weight[:, size:] = 0
    heard = torch.ones_like(weight)
    heard[:, size:] = 0
    weight.register_hook(lambda gradient: gradient * heard)
    return trained(network, data, config, checkpoint)


@torch.no_grad()
def predicted(network: Any, split: Split) -> Floats:
    """The network's probability of every character that came, in the order of the text."""
    state: Any = None
    parts, places = [], []
    for indices in in_order(split, 1, carry_state=True):
        batch = split.batch(indices)
        state = carried(state, len(batch))
        _, logits, state = run(network, batch.x, state, batch.lengths)
        y, labelled, at = labelled_steps(indices, batch, len(split.x))
        own = logits.softmax(-1).numpy()[labelled]
        parts.append(own[np.arange(len(y)), y].astype(float))
        places.append(at)
    return np.concatenate(parts)[np.concatenate(places).argsort()]


def judge(config: Judging, _: Path, out: Path) -> Row:
    """Bits on the test, alone and with counts of pairs, and what a character costs."""
    network = load_network(files(out, key(config.network)).checkpoint)
    data = (noisy_text if config.random else text)(config.network.first)
    own = [predicted(network, split) for split in (data.validation, data.test)]
    batch = data.test.batch(range(min(READ, len(data.test))))
    counts = count(network, batch.x, batch.lengths, data.events)
    return {
        "bits": bits(own[1]),
        "with pairs": bits(joined(own, table_of_counts(config.network.first, 1.0, ORDER, PRIORS))),
    } | priced(counts, int(batch.lengths.sum()))


def step_times(networks: Mapping[str, Network]) -> dict[str, float]:
    """Microseconds of a character at batch 1 in a stream, of all networks in turns."""
    (size,) = {network.body.input_size for network in networks.values()}
    characters = np.eye(size, dtype=np.float32)

    def run_of(network: Network) -> Callable[[], object]:
        stream = compile_stream(network)
        state = stream.zero_state()
        return lambda: [stream.step(x, state) for x in characters]

    runs = {name: run_of(network) for name, network in networks.items()}
    samples = interleaved(runs, ROUNDS)
    return {name: 1e3 * float(np.median(each)) / size for name, each in samples.items()}


def carry_out(config: Config) -> Row:
    """Results: one row for each network and seed."""
    before = json_file.read(HERE / "experts.json") if config.add else {}
    rows = rows_of(MODELS, config, before.get("rows", ()))
    earlier = [*before.get("earlier", ()), before["provenance"]] if before else []
    return {"rows": rows, "earlier": earlier}


def rows_of(models: Sequence[Model], config: common.Config, known: Sequence[Row] = ()) -> list[Row]:
    """One row for each network and seed; of known networks only further seeds are trained.

    They have the learning rate and the time of those before them.
    """
    whole = extent(config.seeds, config.smoke)
    rows, timed = [], {}
    for model in models:
        by_chance = model is RANDOM
        own = config.folder / "chance" if by_chance else config.folder
        job = learn_by_chance if by_chance else learn
        kept = of(known, model)
        rows += kept
        if len(kept) >= whole.seeds:
            continue
        asked = replace(model, rates=(kept[0]["rate"],)) if kept else model
        rate, networks, results = learned(asked, whole, own, config.workers, job, len(kept))
        if not (kept or by_chance or model.gated):
            timed[model.name] = load_network(files(own, key(networks[0])).checkpoint)
        judged = run_all(
            functools.partial(judge, out=own), [Judging(n, by_chance) for n in networks],
            own / "experts", config.workers,
        )  # fmt: skip
        rows += [
            {"model": model.name, "seed": network.training.seed, "rate": rate} | result | found
            for network, result, found in zip(networks, results, judged)
        ]
    times = {row["model"]: row["microseconds"] for row in known}
    times |= step_times(timed) if timed else {}
    return [row | {"microseconds": times.get(row["model"])} for row in rows]


def networks_table(rows: Sequence[Row], models: Sequence[Model]) -> str:
    """Bits and costs of every network."""
    lines = []
    for model in models:
        own = of(rows, model)
        costs = [averages(rows, [model], name)[0] for name in (*COSTS.values(), "microseconds")]
        lines.append(
            [
                model.name,
                f"{own[0]['parameters']:,}",
                *(spread([row[kind] for row in own]) for kind in ("bits", "with pairs")),
                f"{spread([100 * row['validation'] for row in own], 1)} %",
                *("-" if np.isnan(cost) else significant(cost) for cost in costs),
            ]
        )
    quality = ["bits", "with counts of pairs", "validation accuracy"]
    head = ["network", "parameters", *quality, *COSTS, "µs at batch 1"]
    return markdown.table(head, lines)


def claims_table(rows: Sequence[Row]) -> str:
    """Bits that one network saves against another, seed by seed, of the seeds that both have."""
    gru, banks, _, lstm, lstm_banks = GATED
    lines = []
    for one, other, why in (
        (FIXED, DENSE[1], "as many neurons awake"),
        (FIXED, DENSE[2], "as many operations"),
        (FIXED, DENSE[3], "as many parameters"),
        (TEN_TIMES, DENSE[5], "as many parameters"),
        (LEARNED, FIXED, "learned"),
        (FIXED, RANDOM, "by chance"),
        (banks, gru, "banks"),
        (lstm_banks, lstm, "banks"),
    ):
        for kind in ("bits", "with pairs"):
            both = [(a[kind], b[kind]) for a, b in zip(of(rows, other), of(rows, one))]
            pair = paired(*zip(*both))
            saved, between = f"{pair.difference:+.3f}", f"{pair.low:+.3f} to {pair.high:+.3f}"
            lines.append([one.name, other.name, why, kind, str(len(both)), saved, between])
    head = ["network", "against", "what it asks", "of", "seeds", "bits saved", "interval"]
    return markdown.table(head, lines, (0, 1, 2, 3))


def figure(results: Row) -> Figure:
    """Bits against operations, memory traffic and time."""
    rows = results["rows"]
    made = Figure(figsize=(4.4 * len(AXES), 3.8), layout="constrained")
    for axis, (name, label) in zip(made.subplots(1, len(AXES)), AXES.items()):
        for models, marker, colour, title in (
            (DENSE, "o-", COLOURS["blue"], "dense ALIF"),
            (GROUPS, "D", COLOURS["teal"], "groups of ALIF"),
            (GATED, "s", COLOURS["rust"], "GRU, LSTM"),
        ):
            x, y = averages(rows, models, name), averages(rows, models, "bits")
            if not np.isnan(x).all():
                axis.plot(x, y, marker, color=colour, label=title)
        scale = "linear" if name == "microseconds" else "log"
        axis.set(xscale=scale, xlabel=label, ylabel="bits per character, test")
        axis.legend(frameon=False)
        tidy(axis)
    return made


def places(results: Row) -> dict[str, str]:
    """What is filled in on the page, by place."""
    rows = results["rows"]
    several = len({row["seed"] for row in rows}) > 1
    return {
        "experts networks": networks_table(rows, MODELS),
        "experts at equal bits": gains_table(rows, DENSE, GROUPS, "bits"),
        "experts banks": gains_table(rows, (GATED[0], GATED[2]), GATED[1:2], "bits"),
        "experts claims": claims_table(rows) if several else "One seed: no claims.",
    }


if __name__ == "__main__":
    with errors_in_one_line():
        publish(tyro.cli(Config), HERE, "experts", carry_out, places, {"experts": figure})
