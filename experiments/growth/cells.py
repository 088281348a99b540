"""The cells of the study, a size by an amount of data each: their tables and figure.

A run counts where its learning rate is the one that was better on validation.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from growing import Row
from matplotlib.figure import Figure

from spikern._utils import json_file
from spikern.plot.style import CLASSES, tidy
from spikern.report import markdown
from spikern.report.numbers import significant
from spikern.studies import growth, mean
from spikern.studies.growth import Cell, Surface

SMALLER = Path(__file__).parents[1] / "smaller" / "memory.json"
GROUPS = "8 groups of 32, by the character"


def cells(rows: Sequence[Row], model: str) -> list[Cell]:
    """The runs of a model that count, by size and amount of data, smallest first."""
    found: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        if row["model"] == model and row["counts"]:
            found.setdefault((row["parameters"], row["samples"]), []).append(row)
    return [
        Cell(*kind, [row["epochs"] for row in own], [row["test"] for row in own])
        for kind, own in sorted(found.items())
    ]


def surface(results: Row, model: str) -> Surface:
    """The law that was fitted to a model."""
    law = results["laws"][model]
    return Surface(law["parameters"], law["error"], np.array(law["resampled"]))


def losses_table(results: Row) -> str:
    """Mean bits by size and amount of data, with the learning rates at which they were reached."""
    lines, amounts = [], amounts_of(results)
    for model in results["laws"]:
        own = cells(results["rows"], model)
        for size in dict.fromkeys(cell.parameters for cell in own):
            bits = [f"{mean(cell.losses):.3f}" for cell in own if cell.parameters == size]
            rates = {
                row["rate"]
                for row in results["rows"]
                if (row["model"], row["parameters"], row["counts"]) == (model, size, True)
            }
            lines.append([model, f"{size:,}", ", ".join(map(significant, sorted(rates))), *bits])
    head = ["model", "parameters", "learning rates", *(f"{amount:,}" for amount in amounts)]
    return markdown.table(head, lines)


def amounts_of(results: Row) -> list[int]:
    """The amounts of data, in answers."""
    return sorted({row["samples"] for row in results["rows"]})


def ahead(results: Row) -> str:
    """In how many cells the spiking model has fewer bits, and where all of its seeds have."""
    spiking, gated = (cells(results["rows"], model) for model in results["laws"])
    names = list(results["laws"])
    pairs = [(own.losses, other.losses) for own, other in zip(spiking, gated)]
    fewer = sum(mean(own) < mean(other) for own, other in pairs)
    clear = sum(max(own) < min(other) for own, other in pairs)
    behind = sum(min(own) > max(other) for own, other in pairs)
    return (
        f"{names[0]} has fewer bits than the {names[1]} of its size in {fewer} of {len(pairs)} "
        f"cells; in {clear} every one of its seeds is better than every one of the other's, in "
        f"{behind} it is the reverse."
    )


def laws_table(results: Row) -> str:
    """The letters of the law of each model, its errors, and which size it wants."""
    lines = []
    for model in results["laws"]:
        law, missed = surface(results, model), results["laws"][model]["missed"]
        floor, *others = (law.parameters[name] for name in growth.LETTERS)
        letters = [f"{floor:.3f}", *map(significant, others)]
        off = f"{100 * math.expm1(law.error):.0f} %"
        exponent = "{:.2f} ({:.2f} to {:.2f})".format(*growth.compute_exponent(law))
        lines.append([model, *letters, off, f"{100 * missed:+.1f} %", exponent])
    head = ["model", *growth.LETTERS, "off by", "largest cell, held out", "power of the compute"]
    return markdown.table(head, lines)


def worth_table(results: Row) -> str:
    """With how many parameters other networks reach the bits of a network, on all data."""
    spiking, gated = results["laws"]
    amount = amounts_of(results)[-1]

    def on_all(model: str) -> list[Cell]:
        return [cell for cell in cells(results["rows"], model) if cell.samples == amount]

    asked = [(spiking, cell.parameters, cell.losses, gated) for cell in on_all(spiking)]
    if results["task"] == "tinyshakespeare":
        asked += [(*other, spiking) for other in smaller()]
    lines = []
    for name, parameters, bits, model in asked:
        others = on_all(model)
        epochs = mean([k for cell in others for k in cell.epochs])
        sizes = [cell.parameters for cell in others]
        size = growth.equivalent_size(surface(results, model), bits, amount, epochs)
        found = [between(sizes, [mean(cell.losses) for cell in others], mean(bits)), *size]
        own, by_law, low, high = (within(n, sizes) for n in found)
        law = by_law if low == high else f"{by_law} ({low} to {high})"
        lines.append([name, f"{parameters:,.0f}", f"{mean(bits):.3f}", model, own, law])
    head = ["network", "parameters", "bits", "as good as", "parameters", "by its law"]
    return markdown.table(head, lines, (0, 3))


def between(sizes: Sequence[float], losses: Sequence[float], reached: float) -> float:
    """The first size at which the line through networks reaches a loss, both logarithmic.

    It is zero where the smallest network is better already, and infinite where none is as good.
    """
    if losses[0] <= reached:
        return sizes[0] if losses[0] == reached else 0.0
    for (n, y), (m, z) in itertools.pairwise(zip(sizes, losses)):
        if z <= reached:
            share = math.log(y / reached) / math.log(y / z)
            return float(n * (m / n) ** share)
    return math.inf


def within(size: float, sizes: Sequence[float]) -> str:
    """A number of parameters; one beyond the sizes that were trained is not told."""
    if size < sizes[0]:
        return f"below {sizes[0]:,.0f}"
    return f"above {sizes[-1]:,.0f}" if size > sizes[-1] else f"{size:,.0f}"


def smaller() -> Iterator[tuple[str, int, list[float]]]:
    """What the study of the small and smart reached with ALIF: name, parameters, bits by seed."""
    rows = json_file.read(SMALLER)["rows"]
    for model, kind, name in (
        ("ALIF", "alone", "ALIF of that study"),
        ("ALIF", "memory", "ALIF with a memory of its states"),
        (GROUPS, "alone", f"ALIF, {GROUPS}"),
    ):
        own = [row for row in rows if row["model"] == model and row["share"] == 1]
        yield name, own[0]["parameters"], [row["bits"][kind] for row in own]


def figure(results: Row) -> Figure:
    """Bits against parameters, a line of the law for every amount of data, a panel a model."""
    models = list(results["laws"])
    made = Figure(figsize=(4.6 * len(models), 3.8), layout="constrained")
    amounts = amounts_of(results)
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
        f"{task} ahead": ahead(results),
        f"{task} laws": laws_table(results),
        f"{task} worth": worth_table(results),
        f"{task} hours": (
            f"The trainings took one core {results['hours']:.1f} hours, with the search."
        ),
    }
