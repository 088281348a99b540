"""Does a network that fits noisy labels become smoother with its size? Results, page, figure.

python experiments/robustness_law/run.py --workers 2  # search, train, measure; an hour; resumes
python experiments/robustness_law/run.py --no-train   # only page and figure, from results.json
python experiments/robustness_law/run.py --smoke      # seconds; shows that it runs, in runs/ only
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tyro
from fitting import NOISES, RADIUS, WRONG, Fitting, Row, fitted
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from scipy import stats

from spikern._utils.program import errors_in_one_line
from spikern.plot.style import CLASSES, MUTED, tidy
from spikern.report import markdown
from spikern.report.numbers import mean_interval, percent, significant
from spikern.report.publishing import Script, publish
from spikern.studies import interval, mean
from spikern.studies.runner import run_all
from spikern.studies.search import best_that_learns, or_diverged, ranked
from spikern.studies.trainings import hours_of

HERE = Path(__file__).parent
SAMPLES, DIMENSIONS = 500, 64
"""n and d."""
MODELS = ("ALIF", "BRF", "GRU")
SIZES = (500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000)
"""Parameters p, up to n d."""
RATES = (3e-3, 1e-2, 3e-2, 1e-1)
TRIAL_SEED = 1000
MOST = math.sqrt(2) / RADIUS
"""The largest difference that can be: an answer that turns from one class to another."""
SLOPES = {"gradient": "largest gradient", "difference": f"largest difference at {RADIUS}"}


@dataclass(frozen=True)
class Config(Script):
    """Where the trainings are, and how much is done."""

    out: Path = Path("runs/robustness_law")


def carry_out(config: Config) -> Row:
    """Results: a row for each model, size and seed, at the learning rate that fits most labels.

    A rate at which a training diverges gives way to the next best.
    """
    models, sizes, rates, seeds, epochs, samples = MODELS, SIZES, RATES, config.seeds, 150, SAMPLES
    if config.smoke:
        models, sizes, rates, seeds, epochs, samples = MODELS[1:], SIZES[:2], RATES[1:2], 2, 2, 50

    all_jobs: list[Fitting] = []

    def train(jobs: Sequence[Fitting]) -> list[Row]:
        all_jobs.extend(jobs)
        return run_all(partial(or_diverged, fitted), jobs, config.folder, config.workers)

    def train_all(model: str, size: int, rate: float) -> list[Row]:
        return train([Fitting(model, size, rate, seed, epochs, samples) for seed in range(seeds)])

    rows = []
    for kind in itertools.product(models, sizes):
        trials = train([Fitting(*kind, rate, TRIAL_SEED, epochs, samples) for rate in rates])
        by_fit = ranked(rates, trials, lambda row: -row["unfitted"])
        rate, results = best_that_learns(by_fit, partial(train_all, *kind))
        named = dict(zip(("model", "size"), kind), rate=rate)
        rows += [named | {"seed": seed} | row for seed, row in enumerate(results)]
    return {"rows": rows, "hours": sum(hours_of(job, config.folder) for job in all_jobs)}


def cells(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """The rows of every model and size, each with the model."""
    for model in dict.fromkeys(row["model"] for row in rows):
        for size in dict.fromkeys(row["size"] for row in rows):
            yield model, [r for r in rows if (r["model"], r["size"]) == (model, size)]


def fits_noise(row: Row) -> bool:
    """Whether a network fits more labels than it could without learning wrong ones."""
    return bool(row["unfitted"] < WRONG)


def table(rows: Sequence[Row]) -> str:
    """What every model and size fits, how steep it is, and how it answers under noise."""
    lines = []
    for model, own in cells(rows):
        shown = [
            mean_interval(mean([r[name] for r in own]), interval([r[name] for r in own]), 2)
            for name in SLOPES
        ]
        noise = [percent(mean([r["noise"][str(level)] for r in own])) for level in NOISES]
        lines.append(
            [
                model,
                f"{round(mean([r['parameters'] for r in own])):,}",
                percent(mean([r["unfitted"] for r in own])),
                percent(mean([r["test"] for r in own])),
                *shown,
                *noise,
            ]
        )
    head = ["model", "parameters", "labels not fitted", "test", *SLOPES.values()]
    return markdown.table([*head, *(f"test, noise {level}" for level in NOISES)], lines)


def exponents(rows: Sequence[Row]) -> str:
    """The exponent a of slope ~ p^a over networks that fit below the noise; the law says -1/2."""
    lines = []
    groups: dict[str, list[Row]] = {model: [] for model, _ in cells(rows)}
    for row in rows:
        groups[row["model"]].append(row)
    for model, own in {**groups, "least of all": list(rows)}.items():
        fitting = [row for row in own if fits_noise(row)]
        cells_of = [model, f"{len(fitting)} of {len(own)}"]
        for name in SLOPES:
            points = [(row["parameters"], row[name]) for row in fitting]
            if model == "least of all":
                sizes = dict.fromkeys(row["size"] for row in fitting)
                of = {s: [r for r in fitting if r["size"] == s] for s in sizes}
                lowest = [min(found, key=lambda r: float(r[name])) for found in of.values()]
                points = [(row["parameters"], row[name]) for row in lowest]
            cells_of.append(exponent(points))
        lines.append(cells_of)
    return markdown.table(["model", "fit below the noise", *SLOPES.values()], lines)


def exponent(points: Sequence[tuple[float, float]]) -> str:
    """The exponent with half its 95 % interval, where there are three sizes or more.

    A size is one point, the mean of the logarithms of its networks: they share width and rate.
    """
    by_size: dict[float, list[float]] = {}
    for parameters, value in points:
        by_size.setdefault(parameters, []).append(math.log(value))
    if len(by_size) < 3:
        return "-"
    x = np.log(np.array(list(by_size)))
    y = np.array([np.mean(values) for values in by_size.values()])
    found = stats.linregress(x, y)
    half = stats.t.ppf(0.975, len(x) - 2) * found.stderr
    return f"{found.slope:+.2f} ± {half:.2f}"


def under(rows: Sequence[Row]) -> str:
    """How near to sqrt(n d / p) the networks come that fit below the noise."""
    known = [row for row in rows if fits_noise(row)]
    if not known:
        return "No network fits below the noise."

    def ratio(row: Row) -> float:
        return float(row["gradient"]) / math.sqrt(SAMPLES * DIMENSIONS / row["parameters"])

    least = min(known, key=ratio)
    return (
        f"The largest gradient, as a multiple of sqrt(n d / p), is least for {least['model']} with "
        f"{least['parameters']:,} parameters: {significant(ratio(least))}."
    )


def figure(results: Row) -> Figure:
    """Both slopes against the parameters; filled where a network fits below the noise."""
    rows = results["rows"]
    made = Figure(figsize=(4.6 * len(SLOPES), 3.8), layout="constrained")
    for axis, (name, label) in zip(made.subplots(1, len(SLOPES)), SLOPES.items()):
        for k, model in enumerate(dict.fromkeys(row["model"] for row in rows)):
            own = [row for row in rows if row["model"] == model]
            for inside, fill in ((True, CLASSES[k]), (False, "none")):
                part = [row for row in own if fits_noise(row) == inside]
                axis.scatter(
                    [row["parameters"] for row in part], [row[name] for row in part],
                    s=18, facecolors=fill, edgecolors=CLASSES[k], label=model if inside else None,
                )  # fmt: skip
        p = np.array(SIZES)
        scale = np.median([row[name] for row in rows]) / math.sqrt(SAMPLES * DIMENSIONS / p[3])
        axis.plot(
            p, scale * np.sqrt(SAMPLES * DIMENSIONS / p), "--", color=MUTED, label="slope -1/2"
        )
        if name == "difference":
            axis.axhline(MOST, color=MUTED, linewidth=0.8, label="largest possible")
        axis.set(xscale="log", yscale="log", xlabel="parameters", ylabel=label)
        axis.yaxis.set_major_formatter(LogFormatter())
        axis.yaxis.set_minor_formatter(LogFormatter())
        axis.legend(frameon=False)
        tidy(axis)
    return made


def places(results: Row) -> dict[str, str]:
    """What is filled in on the page, by place."""
    rows = results["rows"]
    return {
        "networks": table(rows),
        "exponents": exponents(rows),
        "under": under(rows),
        "hours": f"The trainings took one core {results['hours']:.1f} hours, with the search.",
    }


if __name__ == "__main__":
    with errors_in_one_line():
        publish(tyro.cli(Config), HERE, "results", carry_out, places, {"slopes": figure})
