"""Markdown: pages whose tables come from results files, and the tables of a study's page.

A study's tables are made from one part of its results.json; see `spikern.studies.protocol`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from spikern._utils.errors import InputError
from spikern.cost.estimates import PJ
from spikern.cost.summary import AS_TRAINED
from spikern.report.numbers import (
    count,
    energy,
    extent,
    mean_interval,
    percent,
    signed,
    significant,
    units,
)
from spikern.studies.results import (
    BEYOND,
    Part,
    by_model,
    curve_of,
    energies,
    has_ended,
    independent,
    late_gain,
    per_inference,
    rate,
)
from spikern.studies.search import goodness
from spikern.studies.statistics import interval, mean

DIVERGES = "diverges"


def filled(text: str, contents: Mapping[str, str]) -> str:
    """The text with new contents between every `<!-- name -->` and the next `<!-- end -->`.

    Raises InputError if the text has no such place.

    >>> filled("<!-- table -->\\nold\\n<!-- end -->", {"table": "new"})
    '<!-- table -->\\nnew\\n<!-- end -->'
    """
    for name, content in contents.items():
        pattern = rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)"
        text, times = re.subn(
            pattern,
            lambda match, content=content: f"{match[1]}{content}\n{match[2]}",  # type: ignore[misc]
            text,
            flags=re.DOTALL,
        )
        if times == 0:
            raise InputError(f"the page has no place '<!-- {name} -->' ... '<!-- end -->'")
    return text


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """A Markdown table; the columns in `left` are aligned left, the others right.

    >>> print(table(["model", "accuracy"], [["LIF", "90 %"]]))
    | model | accuracy |
    | --- | ---: |
    | LIF | 90 % |
    """
    rule = ["---" if column in left else "---:" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def machine(provenance: Mapping[str, Any], parts: Sequence[Part]) -> str:
    """What a study ran on, and how long its trainings took in sum."""
    names = ("spikern", "torch", "numba", "python")
    versions = ", ".join(f"{name} {provenance[name]}" for name in names)
    searches = [search for part in parts for search in part["tuning"].values()]
    counted = "with" if all("seconds" in search for search in searches) else "without"
    given_up = all("seconds_given_up" in search for search in searches)
    those = "those of the search" + (" and at rates that were given up" if given_up else "")
    others = seconds(parts, provenance["processor"])
    core = others.pop(provenance["processor"], 0.0)
    took = [f"one core {core / 3600:.1f} hours"] if core or not others else []
    took += [f"{name} {time / 3600:.1f} hours in sum" for name, time in others.items()]
    return (
        f"{provenance['processor']}, one thread per job; its trainings took {' and '.join(took)}, "
        f"{counted} {those}; {versions}; commit {provenance['commit']}."
    )


def seconds(parts: Sequence[Part], processor: str) -> dict[str, float]:
    """The sum of the times of all trainings and trials by what they ran on.

    Older results do not say what, which was the processor, and have no times of trials.

    >>> nothing = {"ablations": {}, "frontier": [], "growth": [], "runs": [{"seconds": 2.0}]}
    >>> searched = {"tuning": {"LIF": {"seconds": 5.0, "trained_on": "a GPU"}}}
    >>> seconds([nothing | searched], "a CPU")
    {'a CPU': 2.0, 'a GPU': 5.0}
    """
    times: dict[str, float] = {}
    for part in parts:
        ablations = [run for runs in part["ablations"].values() for run in runs]
        variants = (*ablations, *part["frontier"], *part["growth"], *part.get("int8", ()))
        for took in (*part["runs"], *variants, *part["tuning"].values()):
            device = took.get("trained_on") or processor
            all_seconds = took.get("seconds", 0.0) + took.get("seconds_given_up", 0.0)
            times[device] = times.get(device, 0.0) + all_seconds
    return times


def score(part: Part, runs: Sequence[Part]) -> str:
    """What is reported of some seeds: accuracy, or bits per answer."""
    if part["plan"]["measure"] == "accuracy":
        return accuracy_interval(independent(runs, "test_accuracy"))
    bits = independent(runs, "bits")
    return mean_interval(mean(bits), interval(bits), 3)


def accuracy_interval(values: Sequence[float]) -> str:
    """The mean of some accuracies with half its 95 % interval, in per cent.

    >>> accuracy_interval([0.90, 0.92, 0.94])
    '92.0 ± 5.0 %'
    """
    scaled = [100 * value for value in values]
    return f"{mean_interval(mean(scaled), interval(scaled))} %"


def energy_extent(runs: Sequence[Part], beside: Sequence[Part]) -> str:
    """The estimates of one inference by the tables that price `beside` too, least to greatest."""
    return extent([PJ * joules for joules in energies(runs, beside).values()], energy, " to ")


def budget(part: Part) -> str:
    """How much every model was trained.

    >>> budget({"plan": {"training": {"epochs": 6}, "sequences": 16}, "dataset": {"train": 16}})
    '6 epochs of 16 sequences, not all'
    """
    fewer = "" if part["plan"]["sequences"] is None else ", not all"
    training = part["plan"]["training"]
    epochs = training["epochs"] if training.get("patience") is None else f"≤ {training['epochs']}"
    return f"{epochs} epochs of {part['dataset']['train']:,} sequences{fewer}"


def ended(runs: Sequence[Part], measure: str) -> str:
    """Whether some trainings had ended; older results have no curve of validation accuracy.

    >>> ended([{"curve": [0.1, 0.5, 0.9]}], "accuracy"), ended([{}], "accuracy")
    ('**no**', '**unknown**')
    """
    if "curve" not in runs[0]:
        return "**unknown**"
    return "yes" if has_ended(runs, measure) else "**no**"


def accuracy(part: Part) -> str:
    """The accuracy, operations and energy estimates of every model.

    Where a table prices operations in int8, the accuracy that counts is that of the networks that
    were trained with weights in int8, which older results do not have.
    """
    lines = []
    measure = part["plan"]["measure"]
    in_int8 = by_model(part.get("int8", ()))
    seeds = max(map(len, in_int8.values()), default=0)
    for model, runs in by_model(part["runs"]).items():
        firing = rate(runs)
        lines.append(
            [
                f"**{model}**" if model in part["best"].values() else model,
                units(runs[0]["hidden"]),
                f"{runs[0]['parameters']:,}",
                accuracy_interval(independent(runs, "validation_accuracy")),
                *([score(part, runs)] if part["plan"]["measure"] == "bits" else []),
                accuracy_interval(independent(runs, "test_accuracy")),
                *(
                    [accuracy_interval(independent(runs, "test_accuracy_all_steps"))]
                    if "test_accuracy_all_steps" in runs[0]
                    else []
                ),
                *(
                    [percent(mean([late_gain(curve_of(run, measure)) for run in runs]), gap=" ")]
                    if "curve" in runs[0]
                    else []
                ),
                budget(part),
                ended(runs, measure),
                "-" if firing is None else percent(firing, gap=" "),
                *(count(per_inference(runs, kind)) for kind in ("ac", "mac", "updates")),
                energy_extent(runs, part["runs"]),
                energy(mean([run["energy_pj"][AS_TRAINED] for run in runs])),
                *([score_in_int8(part, in_int8.get(model, ()), runs)] if in_int8 else []),
            ]
        )
    bits = ["bits per answer"] if part["plan"]["measure"] == "bits" else []
    every = ["test, all steps"] if "test_accuracy_all_steps" in part["runs"][0] else []
    late = ["late gain"] if "curve" in part["runs"][0] else []
    head = ["model", "hidden", "parameters", "validation", *bits, "test", *every, *late]
    head += ["training", "ended", "rate", "AC", "MAC", "updates", "energy estimate"]
    head += [
        f"by {AS_TRAINED}",
        *([f"trained in int8, {seeds} seed{'s' * (seeds > 1)}"] if in_int8 else []),
    ]
    named = ", ".join(energies(part["runs"], part["runs"]))
    return (
        f"{table(head, lines)}\n\nEnergy estimates are by the tables that price every model here: "
        f"{named}.\n[What the words mean](../../docs/glossary.md)"
    )


def score_in_int8(part: Part, runs: Sequence[Part], whole: Sequence[Part]) -> str:
    """What is reported of the seeds that were trained in int8."""
    return score(part, runs) + at_rate(runs, whole) if runs else DIVERGES


def claims(part: Part) -> str:
    """Every claim with its verdict."""
    lines = [
        [name, *effect(part, claim), significant(claim["p_holm"], 2), verdict(claim)]
        for name, claim in part["claims"].items()
    ]
    unit = "points" if part["plan"]["measure"] == "accuracy" else "bits"
    return table(["claim", f"ahead by, {unit}", "interval", "p (Holm)", "verdict"], lines)


def verdict(claim: Mapping[str, Any]) -> str:
    """The verdict on a claim; none stands on trainings that had not ended.

    >>> verdict({"verdict": "refuted", "ended": False}), verdict({"verdict": "refuted"})
    ('none, trainings not ended (else refuted)', '**refuted**, ended unknown')
    """
    ended = claim.get("ended")
    if ended is False:
        return f"none, trainings not ended (else {claim['verdict']})"
    return f"**{claim['verdict']}**" + ("" if ended else ", ended unknown")


def effect(part: Part, claim: Mapping[str, Any]) -> list[str]:
    """The difference of a claim and its interval, in percentage points or bits."""
    scale, decimals = (100.0, 1) if part["plan"]["measure"] == "accuracy" else (1.0, 3)
    difference, low, high = (
        signed(scale * claim[key], decimals) for key in ("difference", "low", "high")
    )
    return [difference, f"{low} to {high}"]


def tuning(part: Part) -> str:
    """Every trial of the search with what it reached on validation, the chosen one first.

    Where the chosen learning rate is the largest or the smallest that was tried, a better one may
    lie beyond, and the table says so.
    """
    lines = []
    measure = part["plan"]["training"].get("select_by", "accuracy")

    for model, search in part["tuning"].items():
        line = [model + at_the_edge(search)]

        def place(trial: Part, best: Part = search["best"]) -> tuple[bool, bool, float]:
            good = goodness(trial[measure], measure)
            return "diverged" in trial, trial["settings"] != best, -good

        for trial in sorted(search["trials"], key=place):
            later = ", diverged later" if "diverged" in trial else ""
            line.append(f"{in_words(trial['settings'])}: {reached(trial, measure)}{later}")
        lines.append(line)
    return table(["model", "chosen", *["tried"] * (len(lines[0]) - 2)], lines)


def reached(trial: Part, measure: str) -> str:
    """What a trial reached on validation: accuracy, or bits per answer; neither if it diverged.

    >>> reached({"accuracy": 0.5}, "accuracy"), reached({"loss": math.log(4)}, "loss")
    ('50.0 %', '2.000 bits')
    >>> reached({"accuracy": 0.0, "loss": None}, "accuracy"), reached({"loss": None}, "loss")
    ('diverged', 'diverged')
    >>> reached({"accuracy": 0.0, "loss": 2.0}, "accuracy")
    '0.0 %'
    """
    if not trial.get("accuracy") and trial.get("loss") is None:
        return "diverged"
    if measure == "accuracy":
        return percent(trial["accuracy"], gap=" ")
    return f"{trial['loss'] / math.log(2):.3f} bits"


def at_the_edge(search: Mapping[str, Any]) -> str:
    """Whether the best learning rate of a search is the last one on a side, in words.

    >>> trials = [{"settings": {"learning_rate": rate}} for rate in (0.1, 0.2, 0.3)]
    >>> at_the_edge({"trials": trials, "best": {"learning_rate": 0.3}})
    ' (largest rate tried)'
    """
    tried = sorted({trial["settings"].get("learning_rate", 0.0) for trial in search["trials"]})
    best = search["best"].get("learning_rate", 0.0)
    if len(tried) < 2 or best not in (tried[0], tried[-1]):
        return ""
    return f" ({'largest' if best == tried[-1] else 'smallest'} rate tried)"


def in_words(settings: Mapping[str, Any]) -> str:
    """The settings of a trial; the learning rate stands without its name.

    >>> in_words({"learning_rate": 0.01, "weight_decay": 0.1, "architecture.layers": 2})
    '0.01, weight decay 0.1, layers 2'
    """
    words = []
    for name, value in settings.items():
        shown = f"{value:g}" if isinstance(value, float) else f"{value}"
        label = name.rsplit(".", 1)[-1].replace("_", " ")
        words.append(shown if name == "learning_rate" else f"{label} {shown}")
    return ", ".join(words)


def variants(part: Part) -> str:
    """The best spiking model, its ablations and its frontier, over the same seeds."""
    seeds = part["plan"]["variant_seeds"]
    best = part["best"]["spiking"]
    full = [run for run in part["runs"] if run["model"] == best][:seeds]
    named = [(f"{best}, whole", full), *part["ablations"].items()]
    penalised: dict[float, list[Part]] = {weight: [] for weight in part["plan"]["penalties"]}
    for run in part["frontier"]:
        penalised[run["rate_penalty"]].append(run)
    named += [(f"rate penalty {weight:g}", runs) for weight, runs in penalised.items()]
    lines = [
        [
            name + at_rate(runs, full),
            f"{runs[0]['parameters']:,}",
            score(part, runs),
            percent(rate(runs) or 0.0, gap=" "),
            count(per_inference(runs, "ac")),
            energy(mean([run["energy_pj"][AS_TRAINED] for run in runs])),
        ]
        if runs
        else [name, "-", f"{DIVERGES} at every rate", "-", "-", "-"]
        for name, runs in named
    ]
    reported = "test accuracy" if part["plan"]["measure"] == "accuracy" else "bits per answer"
    head = ["variant", "parameters", reported, "rate", "AC"]
    return table([*head, f"energy estimate by {AS_TRAINED}"], lines)


def at_rate(runs: Sequence[Part], whole: Sequence[Part]) -> str:
    """The learning rate of a variant, where that of the whole model made it diverge.

    >>> at_rate([{"learning_rate": 0.003}], [{"learning_rate": 0.01}])
    ' (learning rate 0.003)'
    """
    own, usual = (of_model[0]["learning_rate"] for of_model in (runs, whole))
    return "" if own == usual else f" (learning rate {own:g})"


def robustness(part: Part) -> str:
    """Accuracy of every model under every disturbance, mean over seeds, on the same sequences."""
    measured = part["runs"][0]["robustness"]
    levels = [(name, k) for name, points in measured.items() for k in range(1, len(points))]
    undisturbed = (next(iter(measured)), 0)
    lines = []
    for model, runs in by_model(part["runs"]).items():
        accuracies = [
            mean([run["robustness"][name][k][1] for run in runs])
            for name, k in (undisturbed, *levels)
        ]
        lines.append([model, *(percent(a, gap=" ") for a in accuracies)])
    heads = [f"{name} {measured[name][k][0]:g}" for name, k in levels]
    return table(["model", "undisturbed", *heads], lines)


def times(part: Part) -> str:
    """Milliseconds of one inference at batch 1, every runtime; a ratio above 1 is slower.

    Behind them is the range of the rounds, which studies of before do not have.
    """

    def shown(row: Mapping[str, Any], key: str, text: Callable[[float], str]) -> str:
        known = row.get(f"{key}_range")
        return text(row[key]) + (f" ({text(known[0])} to {text(known[1])})" if known else "")

    lines = [
        [
            f"{row['name']} on {row['runtime']}",
            shown(row, "ms", significant),
            shown(row, "ratio", lambda ratio: f"{ratio:.2f}"),
        ]
        for row in part["times"]
    ]
    return table(["network", "ms", f"times {part['best']['spiking']}'s"], lines)


def growth(part: Part) -> str:
    """The laws fitted to error against size, and their predictions."""
    lines = []
    for law in part["laws"]:
        letters = ", ".join(
            f"{name} {significant(value)}" for name, value in law["parameters"].items()
        )
        predicted, low, high = (significant(law["prediction"][k]) for k in ("y", "low", "high"))
        interval_of_b = " to ".join(significant(bound, 2) for bound in law["interval_of_b"])
        names = [law[key] for key in ("model", "axis", "law")]
        error, prediction = f"{law['error']:.3f}", f"{predicted} ({low} to {high})"
        aicc = "-" if law["aicc"] is None else f"{law['aicc']:.1f}"
        lines.append([*names, letters, interval_of_b, error, aicc, prediction])
    head = ["model", "growth in", "law", "fitted", "interval of b"]
    beyond = f"prediction at {BEYOND:g} times the largest size"
    return table([*head, "error of the fit (log)", "AICc", beyond], lines)


MAKERS = (accuracy, claims, tuning, variants, robustness, times, growth)
TABLES: dict[str, Callable[[Part], str]] = {make.__name__: make for make in MAKERS}
"""The tables of a page by the name of their place; growth only where it was measured."""


def tables(part: Part) -> dict[str, str]:
    """All tables of a part of results.json, by the name of their place on the page."""
    name = part["plan"]["dataset"]
    makers = {place: make for place, make in TABLES.items() if place != "growth" or part["growth"]}
    return {f"{name} {place}": make(part) for place, make in makers.items()}


def study(results: Part) -> dict[str, str]:
    """All texts of a study's page, from its results.json, by the name of their place."""
    places = {place: text for part in results["parts"] for place, text in tables(part).items()}
    return places | {"machine": machine(results["provenance"], results["parts"])}
