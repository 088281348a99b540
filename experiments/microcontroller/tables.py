"""The tables of the study's pages, from results.json."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from networks import TASKS, Task

from spikern.report import markdown
from spikern.report.numbers import count, mean_interval, ratio, significant
from spikern.studies.statistics import interval, mean

TARGETS = {"m4f": "M4F", "m3": "M3"}
HERTZ = 64e6
CYCLES = (1, 2.5)
"""The least and the most cycles that an instruction takes in the mean; see the page."""
FRAME = 0.01
"""Seconds between two frames of a spoken digit."""
Row = Mapping[str, Any]


def of(page: str, results: Mapping[str, Any]) -> dict[str, str]:
    """The tables of a page by the name of their place."""
    networks, prices = results["networks"], results["operations"]
    if page == "instructions":
        return {"prices": priced(prices), "explained": explained(networks, prices)}
    per_task = {f"{t.dataset} networks": of_task(networks, t) for t in TASKS}
    return per_task | {
        "verdict": verdict(networks),
        "ratios": ratios(networks),
        "real time": real_time(networks),
    }


def seeds_of(networks: Sequence[Row], **wanted: Any) -> list[Row]:
    """The rows with these values, by seed."""
    rows = [n for n in networks if all(n[key] == value for key, value in wanted.items())]
    return sorted(rows, key=lambda n: n["seed"])


def groups(networks: Sequence[Row], *keys: str) -> Iterator[tuple[dict[str, Any], list[Row]]]:
    """The rows of every combination of values, in the order in which they come."""
    for values in dict.fromkeys(tuple(n[key] for key in keys) for n in networks):
        wanted = dict(zip(keys, values, strict=True))
        yield wanted, seeds_of(networks, **wanted)


def spread(values: Sequence[float]) -> str:
    """A mean with half its 95 % interval; three significant digits."""
    whole = mean(values)
    decimals = 0 if whole >= 100 else 1 if whole >= 10 else 2
    return mean_interval(whole, interval(values), decimals)


def role(equals: str | None) -> str:
    """What a network was sized by."""
    return "equal size" if equals is None else f"as good as {equals}"


def quality(task: Task, rows: Sequence[Row]) -> str:
    """The mean on the test split with its interval."""
    if task.measure == "bits":
        values = [n["bits"] for n in rows]
        return mean_interval(mean(values), interval(values), 3)
    return markdown.accuracy_interval([n["accuracy"] for n in rows])


def of_task(networks: Sequence[Row], task: Task) -> str:
    """Quality, instructions per step and sizes of every network of a task."""
    lines = []
    keys = ("model", "equals", "numbers")
    for wanted, rows in groups(seeds_of(networks, dataset=task.dataset), *keys):
        lines.append(
            [
                wanted["model"],
                role(wanted["equals"]),
                str(rows[0]["hidden"]),
                count(rows[0]["parameters"]),
                wanted["numbers"],
                quality(task, rows),
                *(count(mean([n[t]["instructions"] for n in rows])) for t in TARGETS),
                count(rows[0]["m4f"]["flash"]),
                count(rows[0]["m4f"]["ram"]),
            ]
        )
    order = [w["model"] for w, _ in groups(seeds_of(networks, dataset=task.dataset), "model")]
    lines.sort(key=lambda line: (line[1] != "equal size", order.index(line[0])))
    head = ["model", "sized by", "hidden", "parameters", "numbers"]
    head += ["test bits" if task.measure == "bits" else "test accuracy"]
    head += [*TARGETS.values(), "flash", "RAM"]
    return markdown.table(head, lines, left=(0, 1, 4))


Value = Callable[[Mapping[str, Row]], float]
"""The forms of one network by their numbers -> what is compared."""


def fewest(target: str) -> Value:
    """The instructions of a network in the numbers that take the fewest."""
    return lambda forms: min(form[target]["instructions"] for form in forms.values())


COMPARED: dict[str, Value] = {
    "operations": lambda f: sum(f["float32"][kind] for kind in ("ac", "mac", "updates")),
    "45nm_fp32": lambda f: f["float32"]["pj"]["45nm_fp32"],
    "45nm_int8": lambda f: f["float32"]["pj"]["45nm_int8"],
    "M4F float32": lambda f: f["float32"]["m4f"]["instructions"],
    "M4F best": fewest("m4f"),
    "M3 float32": lambda f: f["float32"]["m3"]["instructions"],
    "M3 int8": lambda f: f["int8"]["m3"]["instructions"],
    "M3 best": fewest("m3"),
}


def compared(
    networks: Sequence[Row],
) -> Iterator[tuple[str, str, str, str | None, dict[str, list[float]]]]:
    """Data set, spiking model, gated model, its role, and the ratios of every seed by column."""

    def forms(**wanted: Any) -> dict[int, dict[str, Row]]:
        found: dict[int, dict[str, Row]] = {}
        for n in seeds_of(networks, **wanted):
            found.setdefault(n["seed"], {})[n["numbers"]] = n
        return found

    for task in TASKS:
        for spiking in task.spiking:
            own = forms(dataset=task.dataset, model=spiking)
            for gated in ("GRU", "LSTM"):
                for equals in (None, spiking):
                    other = forms(dataset=task.dataset, model=gated, equals=equals)
                    seeds = sorted(own.keys() & other.keys())
                    if seeds:
                        times = {
                            name: [value(other[s]) / value(own[s]) for s in seeds]
                            for name, value in COMPARED.items()
                        }
                        yield task.dataset, spiking, gated, equals, times


def verdict(networks: Sequence[Row]) -> str:
    """The best spiking model on validation of every task beside GRU and LSTM, in short."""
    best = {}
    for task in TASKS:
        sign = -1 if task.measure == "bits" else 1
        rows = [n for n in seeds_of(networks, dataset=task.dataset) if n["spiking"]]
        reached = {
            w["model"]: sign * mean([n["validation"][task.measure] for n in found])
            for w, found in groups(rows, "model")
        }
        best[task.dataset] = max(reached, key=lambda model: reached[model], default=None)
    shown = {
        "operations": "counted operations",
        "45nm_fp32": "45nm_fp32",
        "M4F best": "M4F",
        "M3 best": "M3",
    }
    lines = [
        [dataset, spiking, gated, role(equals), *(spread(times[name]) for name in shown)]
        for dataset, spiking, gated, equals, times in compared(networks)
        if best[dataset] == spiking
    ]
    head = ["data", "spiking", "gated", "sized by", *shown.values()]
    return markdown.table(head, lines, left=(0, 1, 2, 3))


def ratios(networks: Sequence[Row]) -> str:
    """How many times as much the gated network takes: predicted, and executed."""
    lines = [
        [dataset, spiking, gated, role(equals), *(spread(times[name]) for name in COMPARED)]
        for dataset, spiking, gated, equals, times in compared(networks)
    ]
    return markdown.table(["data", "spiking", "gated", "sized by", *COMPARED], lines, (0, 1, 2, 3))


def real_time(networks: Sequence[Row]) -> str:
    """Spoken digits, frame by frame, in the best numbers: quality, sizes, the time of a step."""
    task = next(t for t in TASKS if t.dataset == "fsdd")
    lines = []
    for target, title in TARGETS.items():
        rows = [n for n in seeds_of(networks, dataset="fsdd") if n["model"] != "RNN"]
        for wanted, found in groups(rows, "model", "equals"):
            by_numbers = [same for _, same in groups(found, "numbers")]
            best = min(by_numbers, key=lambda same: mean([n[target]["instructions"] for n in same]))
            steps = [mean([n[target][key] for n in best]) for key in ("instructions", "longest")]
            seconds = [cycles * steps[1] / HERTZ for cycles in CYCLES]
            lines.append(
                [
                    title,
                    wanted["model"],
                    role(wanted["equals"]),
                    best[0]["numbers"],
                    quality(task, best),
                    count(best[0][target]["flash"]),
                    count(best[0][target]["ram"]),
                    *map(count, steps),
                    " to ".join(significant(1000 * each, 2) for each in seconds),
                    " to ".join(ratio(FRAME / each, sign="") for each in seconds[::-1]),
                ]
            )
    head = ["processor", "model", "sized by", "numbers", "test accuracy", "flash", "RAM"]
    head += ["instructions", "longest step", "ms at 64 MHz", "times faster than real time"]
    return markdown.table(head, lines, left=(0, 1, 2, 3))


def priced(prices: Sequence[Row]) -> str:
    """The instructions of every operation on every target and in all numbers."""
    names = list(dict.fromkeys(name for row in prices for name in row["prices"]))
    lines = [[name, *(_price(row["prices"].get(name)) for row in prices)] for name in names]
    head = [f"{TARGETS[row['target']]} {row['numbers']}" for row in prices]
    return markdown.table(["operation", *head], lines)


def _price(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def explained(networks: Sequence[Row], prices: Sequence[Row]) -> str:
    """The share of the executed instructions that counts times prices come to."""
    by_form = {(row["target"], row["numbers"]): row["prices"] for row in prices}
    lines = []
    for wanted, rows in groups([n for n in networks if n["equals"] is None], "dataset", "model"):
        line = [wanted["dataset"], wanted["model"]]
        for (target, numbers), price in by_form.items():
            own = [n for n in rows if n["numbers"] == numbers]
            shares = [predicted(n, price) / n[target]["instructions"] for n in own]
            line.append(f"{mean(shares):.2f}" if shares else "-")
        lines.append(line)
    head = [f"{TARGETS[target]} {numbers}" for target, numbers in by_form]
    return markdown.table(["data", "model", *head], lines, (0, 1))


def predicted(n: Row, price: Mapping[str, float]) -> float:
    """The instructions of a step: what the counter counts, times what an operation costs."""
    if not n["spiking"]:
        unit = price[f"unit of {n['model']}"] * n["units"][n["model"]]
        products = price[f"multiply-accumulate of {n['model']}"] * n["mac"]
        return unit + products + price["accumulate of an event"] * n["ac"]
    # Of the rows that are added in a step, one and a half are left over from fours in the mean.
    alone = min(1.0, 1.5 / n["spikes"]) if n["spikes"] else 1.0
    accumulate = (
        alone * price["accumulate, a row alone"] + (1 - alone) * price["accumulate, rows in fours"]
    )
    updates = sum(price[f"update of {unit}"] * times for unit, times in n["units"].items())
    several = n["mac"] >= 4 * n["hidden"]
    product = price[
        "multiply-accumulate of inputs, rows in fours"
        if several
        else "multiply-accumulate of an input"
    ]
    return updates + accumulate * n["ac"] + product * n["mac"]
