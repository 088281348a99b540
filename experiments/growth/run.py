"""How a loss falls with parameters and data, spiking and gated; fills in a part of the page.

python experiments/growth/run.py fsdd             # search, train, fit; hours; resumes
python experiments/growth/run.py tinyshakespeare  # the characters; many hours
python experiments/growth/run.py fsdd --no-train  # only the page again, from fsdd.json
python experiments/growth/run.py fsdd --smoke     # seconds; shows that it runs, in runs/ only
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import tyro
from growing import TASKS, Growing, Row, Task, Way, grown, job
from matplotlib.figure import Figure

from spikern._utils import json_file
from spikern._utils.choices import check_choice
from spikern.plot.style import CLASSES, tidy
from spikern.report import markdown
from spikern.report.numbers import significant
from spikern.report.publishing import Script, publish
from spikern.studies import growth, mean
from spikern.studies.growth import Cell, Estimate, Surface
from spikern.studies.runner import run_all
from spikern.studies.search import best_that_learns, or_diverged, ranked
from spikern.studies.trainings import hours_of

HERE = Path(__file__).parent
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
TRIAL_SHARE, TRIAL_SEED = 1 / 4, 1000
REFITS = 200
GROUPS = "8 groups of 32, by the character"


@dataclass(frozen=True)
class Config(Script):
    """Which task is learned, and how much is done."""

    task: tyro.conf.Positional[str] = "fsdd"
    """fsdd or tinyshakespeare."""
    out: Path = Path("runs/growth")
    seeds: int = 3


def carry_out(config: Config) -> Row:
    """Results: a row for each model, size, share of the data and seed."""
    task, shares, seeds = TASKS[config.task], SHARES, config.seeds
    if config.smoke:
        task = brief(task)
        shares, seeds = (1 / 64, 1 / 32, 1 / 16), 1
    kinds = [(share, seed) for share in shares for seed in range(seeds)]

    trained: dict[Growing, None] = {}

    def train(jobs: Sequence[Growing]) -> list[Row]:
        trained.update(dict.fromkeys(jobs))
        return run_all(partial(or_diverged, grown), jobs, config.folder, config.workers)

    def train_all(of_size: Callable[..., Growing], rate: float) -> list[Row]:
        return train([of_size(share, rate, seed) for share, seed in kinds])

    rows = []
    for model, way in task.ways.items():
        rates = way.rates
        for budget in task.budgets:
            of_size = partial(job, task, model, budget)
            trials = [of_size(min(TRIAL_SHARE, shares[-1]), rate, TRIAL_SEED) for rate in rates]
            by_bits = ranked(rates, train(trials), lambda row: -row["validation"])
            rate, results = best_that_learns(by_bits, partial(train_all, of_size))
            rows += [
                {"model": model, "budget": budget, "share": share, "rate": rate, "seed": seed} | row
                for (share, seed), row in zip(kinds, results)
            ]
    laws = {model: law_of(cells(rows, model)) for model in task.ways}
    hours = sum(hours_of(one, config.folder) for one in trained)
    return {"task": task.dataset, "rows": rows, "laws": laws, "hours": hours}


def brief(task: Task) -> Task:
    """A task of seconds, of three sizes."""
    return replace(
        task,
        budgets=task.budgets[:3],
        ways={
            model: Way(replace(way.training, epochs=1), way.structure, way.rates[:1])
            for model, way in task.ways.items()
        },
        most=2,
    )


def cells(rows: Sequence[Row], model: str) -> list[Cell]:
    """The runs of a model by size and amount of data, smallest first."""
    found: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        if row["model"] == model:
            found.setdefault((row["parameters"], row["samples"]), []).append(row)
    return [
        Cell(*kind, [row["epochs"] for row in own], [row["test"] for row in own])
        for kind, own in sorted(found.items())
    ]


def law_of(own: Sequence[Cell]) -> Row:
    """The law of a model, and how far a fit without the largest cell misses it."""
    law = growth.fit(own, REFITS)
    largest = max(own, key=lambda cell: (cell.parameters, cell.samples))
    others = growth.fit([cell for cell in own if cell is not largest], refits=0)
    there = growth.predict(others, largest.parameters, largest.samples, mean(largest.epochs))
    return {
        "parameters": law.parameters,
        "error": law.error,
        "resampled": law.resampled.tolist(),
        "missed": there.value / mean(largest.losses) - 1,
    }


def surface(results: Row, model: str) -> Surface:
    """The law that was fitted to a model."""
    law = results["laws"][model]
    return Surface(law["parameters"], law["error"], np.array(law["resampled"]))


def losses_table(results: Row) -> str:
    """Mean bits by size and amount of data."""
    rows = results["rows"]
    lines, amounts = [], sorted({row["samples"] for row in rows})
    for model in results["laws"]:
        own = cells(rows, model)
        for size in dict.fromkeys(cell.parameters for cell in own):
            by_amount = {cell.samples: mean(cell.losses) for cell in own if cell.parameters == size}
            rate = next(r["rate"] for r in rows if (r["model"], r["parameters"]) == (model, size))
            bits = [f"{by_amount[amount]:.3f}" for amount in amounts]
            lines.append([model, f"{size:,}", f"{rate:g}", *bits])
    head = ["model", "parameters", "learning rate", *(f"{amount:,}" for amount in amounts)]
    return markdown.table(head, lines)


def laws_table(results: Row) -> str:
    """The letters of the law of each model, its errors, and which size it wants."""
    lines = []
    for model in results["laws"]:
        law, missed = surface(results, model), results["laws"][model]["missed"]
        floor, *others = (law.parameters[name] for name in growth.LETTERS)
        letters = [f"{floor:.3f}", *map(significant, others)]
        exponent = shown(growth.compute_exponent(law), "{:.2f}")
        lines.append(
            [model, *letters, f"{100 * law.error:.1f} %", f"{100 * missed:+.1f} %", exponent]
        )
    head = ["model", *growth.LETTERS, "error", "largest cell, held out", "power of the compute"]
    return markdown.table(head, lines)


def shown(estimate: Estimate, form: str = "{:,.0f}") -> str:
    """A number with its interval; ∞ where none is large enough."""
    return "{} ({} to {})".format(*map(form.format, estimate)).replace("inf", "∞")


def worth_table(results: Row) -> str:
    """With how many parameters a law reaches the bits of other networks on all data."""
    spiking, gated = results["laws"]
    amount = max(row["samples"] for row in results["rows"])
    own = [cell for cell in cells(results["rows"], spiking) if cell.samples == amount]
    asked = [(spiking, cell.parameters, mean(cell.losses), gated) for cell in own]
    if results["task"] == "tinyshakespeare":
        asked += [(*other, spiking) for other in smaller()]
    lines = []
    for name, parameters, bits, model in asked:
        of_law = [cell for cell in cells(results["rows"], model) if cell.samples == amount]
        epochs = mean([k for cell in of_law for k in cell.epochs])
        size = growth.equivalent_size(surface(results, model), bits, amount, epochs)
        lines.append([name, f"{parameters:,}", f"{bits:.3f}", model, shown(size)])
    head = ["network", "parameters", "bits", "as good by the law of", "parameters"]
    return markdown.table(head, lines, (0, 3))


def smaller() -> Iterator[tuple[str, int, float]]:
    """What the study of the small and smart reached with ALIF: name, parameters, bits."""
    rows = json_file.read(HERE.parent / "smaller" / "memory.json")["rows"]
    for model, kind, name in (
        ("ALIF", "alone", "ALIF of that study"),
        ("ALIF", "memory", "ALIF with a memory of its states"),
        (GROUPS, "alone", f"ALIF, {GROUPS}"),
    ):
        own = [row for row in rows if row["model"] == model and row["share"] == 1]
        yield name, own[0]["parameters"], mean([row["bits"][kind] for row in own])


def figure(results: Row) -> Figure:
    """Bits against parameters, a line of the law for every amount of data, a panel a model."""
    models = list(results["laws"])
    made = Figure(figsize=(4.6 * len(models), 3.8), layout="constrained")
    amounts = sorted({row["samples"] for row in results["rows"]})
    for axis, model in zip(made.subplots(1, len(models), sharey=True), models):
        law, own = surface(results, model), cells(results["rows"], model)
        for amount, colour in zip(amounts, CLASSES):
            of_amount = [cell for cell in own if cell.samples == amount]
            x = [cell.parameters for cell in of_amount]
            epochs = mean([k for cell in of_amount for k in cell.epochs])
            points = [(n, y) for n, cell in zip(x, of_amount) for y in cell.losses]
            axis.plot(*zip(*points), "o", ms=3, color=colour)
            sizes = np.geomspace(min(x), max(x), 60)
            line = [growth.predict(law, n, amount, epochs).value for n in sizes]
            axis.plot(sizes, line, color=colour, label=f"{amount:,}")
        axis.set(xscale="log", yscale="log", xlabel="parameters", ylabel="bits, test", title=model)
        axis.set_xticks(x[::2], labels=[f"{n:,.0f}" for n in x[::2]])
        axis.yaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
        tidy(axis)
    axis.legend(frameon=False, title="answers learned from", loc="lower left")
    return made


def places(results: Row) -> dict[str, str]:
    """What is filled in on the page, by place."""
    task = results["task"]
    return {
        f"{task} losses": losses_table(results),
        f"{task} laws": laws_table(results),
        f"{task} worth": worth_table(results),
        f"{task} hours": (
            f"The trainings took one core {results['hours']:.1f} hours, with the search."
        ),
    }


def main(config: Config) -> None:
    """Carry out the study of a task."""
    check_choice("task", config.task, TASKS)
    publish(config, HERE, config.task, carry_out, places, {config.task: figure})


if __name__ == "__main__":
    main(tyro.cli(Config))
