"""Pages whose numbers come from results files.

The tables of a study's page, made from its part of results.json (`spikern.studies.protocol`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spikern._utils.errors import InputError
from spikern.studies.results import BEYOND, Part, by_model, energies, per_inference, rate
from spikern.studies.statistics import interval, mean


def filled(text: str, made: Mapping[str, str]) -> str:
    """The text with what stands between `<!-- name -->` and `<!-- end -->` made anew.

    InputError if the text has no such place.

    >>> filled("<!-- table -->\\nold\\n<!-- end -->", {"table": "new"})
    '<!-- table -->\\nnew\\n<!-- end -->'
    """
    for name, content in made.items():
        pattern = rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)"
        text, times = re.subn(
            pattern,
            lambda found, content=content: f"{found[1]}{content}\n{found[2]}",  # type: ignore[misc]
            text,
            flags=re.DOTALL,
        )
        if times == 0:
            raise InputError(f"the page has no place '<!-- {name} -->' ... '<!-- end -->'")
    return text


def machine(found: Mapping[str, Any], seconds: float) -> str:
    """What a study ran on, from its `provenance`, and how long its jobs trained in sum."""
    versions = ", ".join(
        f"{name} {found[name]}" for name in ("spikern", "torch", "numba", "python")
    )
    return (
        f"{found['processor']}, one thread a job, "
        f"{seconds / 60:.0f} minutes of training in sum; {versions}; commit {found['commit']}."
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left, the others to the right.

    >>> print(table(["model", "accuracy"], [["LIF", "90 %"]]))
    | model | accuracy |
    | --- | ---: |
    | LIF | 90 % |
    """
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


AS_TRAINED = "45nm_fp32"
"""The table of the energy estimates that stand alone."""


def points(values: Sequence[float]) -> str:
    """A mean with half its 95 % interval, in per cent.

    >>> points([0.90, 0.92, 0.94])
    '92.0 ± 5.0 %'
    """
    return f"{100 * mean(values):.1f}{half(values, 100.0, 1)} %"


def half(values: Sequence[float], scale: float, digits: int) -> str:
    """' ± half the interval', or nothing for a single value."""
    found = interval(values)
    return f" ± {scale * (found[1] - found[0]) / 2:.{digits}f}" if found else ""


def score(part: Part, runs: Sequence[Part]) -> str:
    """What is reported of some seeds: accuracy, or bits an answer."""
    if part["plan"]["measure"] == "accuracy":
        return points([run["test_accuracy"] for run in runs])
    bits = [run["bits"] for run in runs]
    return f"{mean(bits):.3f}{half(bits, 1.0, 3)}"


def heading(part: Part) -> str:
    """The name of what is reported."""
    return "test accuracy" if part["plan"]["measure"] == "accuracy" else "bits per answer"


def short(number: float) -> str:
    """Three digits, and thousands or millions of them as k or M.

    >>> short(1234567.0), short(0.0)
    ('1.23 M', '0')
    """
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"


def joules(number: float) -> str:
    """Joules with a prefix.

    >>> joules(1.2e-7)
    '120 nJ'
    """
    for size, letter in ((1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number / 1e-12:.3g} pJ"


def accuracy(part: Part) -> str:
    """Every model: what it reached, and what it did for it."""
    lines = []
    for model, runs in by_model(part["runs"]).items():
        fired, estimates = rate(runs), energies(runs)
        lines.append(
            [
                f"**{model}**" if model in part["best"].values() else model,
                f"{runs[0]['hidden']}",
                f"{runs[0]['parameters']:,}",
                points([run["validation_accuracy"] for run in runs]),
                *([score(part, runs)] if part["plan"]["measure"] == "bits" else []),
                points([run["test_accuracy"] for run in runs]),
                *(
                    [points([run["test_accuracy_all_steps"] for run in runs])]
                    if "test_accuracy_all_steps" in runs[0]
                    else []
                ),
                "-" if fired is None else f"{100 * fired:.1f} %",
                *(short(per_inference(runs, kind)) for kind in ("ac", "mac", "updates")),
                f"{joules(estimates[0])} to {joules(estimates[-1])}",
                joules(1e-12 * mean([run["energy_pj"][AS_TRAINED] for run in runs])),
            ]
        )
    bits = ["bits per answer"] if part["plan"]["measure"] == "bits" else []
    every = ["test, all steps"] if "test_accuracy_all_steps" in part["runs"][0] else []
    head = ["model", "hidden", "parameters", "validation", *bits, "test", *every, "rate"]
    return table(
        [*head, "AC", "MAC", "updates", "energy estimate, all tables", f"by {AS_TRAINED}"], lines
    )


def claims(part: Part) -> str:
    """Every claim with its verdict."""
    scale, unit = (100.0, "points") if part["plan"]["measure"] == "accuracy" else (1.0, "bits")
    digits = 1 if unit == "points" else 3
    lines = [
        [
            name,
            f"{scale * found['difference']:+.{digits}f}",
            f"{scale * found['low']:+.{digits}f} to {scale * found['high']:+.{digits}f}",
            f"{found['p_holm']:.2g}",
            f"**{found['verdict']}**",
        ]
        for name, found in part["claims"].items()
    ]
    return table(["claim", f"ahead by, {unit}", "interval", "p (Holm)", "verdict"], lines)


def tuning(part: Part) -> str:
    """Every learning rate that was tried, with its validation accuracy; the one taken is first."""
    lines = []
    for model, found in part["tuning"].items():
        ranked = sorted(found["trials"], key=lambda t: ("diverged" in t, -t["accuracy"]))
        lines.append(
            [
                model,
                *(
                    f"{t['settings']['learning_rate']:.2g}: {100 * t['accuracy']:.1f} %"
                    + (", diverged later" if "diverged" in t else "")
                    for t in ranked
                ),
            ]
        )
    return table(["model", "chosen", *["tried"] * (len(lines[0]) - 2)], lines)


def variants(part: Part) -> str:
    """The best spiking model, its ablations and its frontier, over the same seeds."""
    seeds = part["plan"]["variant_seeds"]
    whole = [run for run in part["runs"] if run["model"] == part["best"]["spiking"]][:seeds]
    named = [(f"{part['best']['spiking']}, whole", whole), *part["ablations"].items()]
    penalised: dict[float, list[Part]] = {}
    for run in part["frontier"]:
        penalised.setdefault(run["rate_penalty"], []).append(run)
    named += [(f"rate penalty {weight:g}", runs) for weight, runs in penalised.items()]
    lines = [
        [
            name,
            f"{runs[0]['parameters']:,}",
            score(part, runs),
            f"{100 * (rate(runs) or 0.0):.1f} %",
            short(per_inference(runs, "ac")),
            joules(1e-12 * mean([run["energy_pj"][AS_TRAINED] for run in runs])),
        ]
        for name, runs in named
    ]
    head = ["variant", "parameters", heading(part), "rate", "AC"]
    return table([*head, f"energy estimate by {AS_TRAINED}"], lines)


def robustness(part: Part) -> str:
    """Test accuracy of every model under every disturbance, mean over seeds."""
    disturbed = part["runs"][0]["robustness"]
    heads = [f"{name} {_level(part, name, k)}" for name, found in disturbed.items()
             for k in range(1, len(found))]  # fmt: skip
    lines = []
    for model, runs in by_model(part["runs"]).items():
        cells = [
            f"{100 * mean([run['robustness'][name][k][1] for run in runs]):.1f} %"
            for name, found in disturbed.items()
            for k in range(1, len(found))
        ]
        lines.append([model, f"{100 * mean([run['test_accuracy'] for run in runs]):.1f} %", *cells])
    return table(["model", "undisturbed", *heads], lines)


def _level(part: Part, name: str, k: int) -> str:
    return f"{part['runs'][0]['robustness'][name][k][0]:g}"


def times(part: Part) -> str:
    """Milliseconds of one inference at batch 1, every runtime; a ratio above 1 is slower."""
    lines = [
        [f"{row['name']} on {row['runtime']}", f"{row['ms']:.3g}", f"{row['ratio']:.2f}"]
        for row in part["times"]
    ]
    return table(["network", "ms", f"times {part['best']['spiking']}'s"], lines)


def growth(part: Part) -> str:
    """The laws fitted to how what is missing falls with growth, and what they predict."""
    lines = []
    for law in part["laws"]:
        letters = ", ".join(f"{name} {value:.3g}" for name, value in law["parameters"].items())
        low, high = law["interval_of_b"]
        last = law["prediction"]
        lines.append(
            [
                law["model"],
                law["axis"],
                law["law"],
                letters,
                f"{low:.2g} to {high:.2g}",
                f"{law['error']:.3f}",
                f"{last['y']:.3g} ({last['low']:.3g} to {last['high']:.3g})",
            ]
        )
    head = ["model", "growth in", "law", "fitted", "interval of b", "error of the fit (log)"]
    return table([*head, f"prediction at {BEYOND:g} times the largest size"], lines)


TABLES: dict[str, Callable[[Part], str]] = {
    "accuracy": accuracy,
    "claims": claims,
    "tuning": tuning,
    "variants": variants,
    "robustness": robustness,
    "times": times,
    "growth": growth,
}
"""What a page may have, by the name of its place; growth only where it was measured."""


def made(part: Part) -> dict[str, str]:
    """All tables of a part of results.json, by the name of their place on the page."""
    name = part["plan"]["dataset"]
    wanted = {k: make for k, make in TABLES.items() if k != "growth" or part["growth"]}
    return {f"{name} {place}": make(part) for place, make in wanted.items()}


def seconds(part: Part) -> float:
    """How long all reported runs trained, in sum; searches are not in it."""
    variants = [run for runs in part["ablations"].values() for run in runs]
    return math.fsum(
        run["seconds"] for run in (*part["runs"], *variants, *part["frontier"], *part["growth"])
    )


def study(results: Part) -> dict[str, str]:
    """All that a study's page has from its results.json, by the name of its place."""
    places = {name: text for part in results["parts"] for name, text in made(part).items()}
    trained = sum(map(seconds, results["parts"]))
    return places | {"machine": machine(results["provenance"], trained)}
