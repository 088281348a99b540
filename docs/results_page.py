"""The tables and the figure of docs/results.md, made from the results files of the studies.

python docs/results_page.py     # fill them in
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from spikern._utils import atomic
from spikern.plot import study
from spikern.plot.style import save
from spikern.report import markdown
from spikern.report.numbers import count, extent, percent, ratio, significant
from spikern.studies import results
from spikern.studies.protocol import pairs
from spikern.studies.statistics import claims

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "results.md"
FIGURE = ROOT / "docs" / "_static" / "frontier.svg"


def studies() -> Iterator[results.Part]:
    """The part of results.json of every data set that was studied by the protocol."""
    for path in sorted(ROOT.glob("experiments/*/results.json")):
        yield from json.loads(path.read_text()).get("parts", ())


def best_of_kinds(part: results.Part) -> tuple[list[results.Part], list[results.Part]]:
    """The runs of the best spiking and of the best standard model, chosen on validation."""
    by_model = results.by_model(part["runs"])
    return by_model[part["best"]["spiking"]], by_model[part["best"]["standard"]]


def corrected() -> dict[tuple[str, str], dict[str, Any]]:
    """The claims of all data sets, by data set and name, corrected for all of them together."""
    compared = {}
    own = {}
    for part in studies():
        plan, spiking = part["plan"], part["best"]["spiking"]
        found = pairs(part["runs"], spiking, plan["standard"], plan["measure"])
        compared |= {(part["dataset"]["name"], name): pair for name, pair in found.items()}
        own |= {(part["dataset"]["name"], name): claim for name, claim in part["claims"].items()}
    return {
        key: claim | {"ended": own[key].get("ended")} for key, claim in claims(compared).items()
    }


def overall() -> str:
    """Two rows per data set: the best model of each kind, and which is ahead."""
    lines = []
    judged = corrected()
    for part in studies():
        spiking, standard = best_of_kinds(part)
        name = f"{part['best']['spiking']} > {part['best']['standard']}"
        verdict = markdown.verdict(judged[part["dataset"]["name"], name])
        for runs, text in ((spiking, verdict), (standard, "")):
            fired = results.rate(runs)
            lines.append(
                [
                    part["dataset"]["name"],
                    runs[0]["model"],
                    f"{runs[0]['parameters']:,}",
                    markdown.score(part, runs),
                    markdown.budget(part),
                    markdown.ended(runs, part["plan"]["measure"]),
                    "-" if fired is None else percent(fired, gap=" "),
                    count(results.per_inference(runs, "ac")),
                    count(results.per_inference(runs, "mac")),
                    markdown.energy_extent(runs, part["runs"]),
                    significant(fastest(part, runs[0]["model"])),
                    text,
                ]
            )
    head = ["data set", "model", "parameters", "test accuracy or bits", "training"]
    head += ["ended", "rate", "AC", "MAC"]
    return markdown.table([*head, "energy estimate", "ms at batch 1", "spiking ahead?"], lines)


def fastest(part: results.Part, model: str) -> float:
    """Milliseconds of one inference on the runtime in float32 that is fastest for a model."""
    rows = [row for row in part["times"] if row["name"] == model]
    return min(row["ms"] for row in rows if "int8" not in row["runtime"])


def ratios() -> str:
    """How many times less the spiking network needs than the standard one, estimated and timed."""
    lines = []
    for part in studies():
        spiking, standard = best_of_kinds(part)
        own, others = (results.energies(runs, part["runs"]) for runs in (spiking, standard))
        per_table = [others[name] / pj for name, pj in own.items()]
        names = part["best"]["standard"], part["best"]["spiking"]
        time = fastest(part, names[0]) / fastest(part, names[1])
        lines.append(
            [
                f"{part['dataset']['name']}: {names[1]} against {names[0]}",
                extent(per_table, lambda value: ratio(value, 3), " to "),
                f"{time:.2f}x",
            ]
        )
    head = ["data set and networks", "energy estimate, operations alone"]
    return markdown.table([*head, "time at batch 1, fastest runtime of each"], lines)


def verdicts() -> str:
    """Every claim: the best spiking model against each standard one; points, or bits."""
    judged = corrected()
    lines = []
    for part in studies():
        data = part["dataset"]["name"]
        for name, claim in part["claims"].items():
            both = [markdown.verdict(found) for found in (claim, judged[data, name])]
            lines.append([data, name, *markdown.effect(part, claim), *both])
    head = ["data set", "claim", "ahead by", "interval", "of its data set", "of the page"]
    return markdown.table(head, lines)


def microcontroller() -> str:
    """The table of the microcontroller study's verdict, from its page."""
    page = (ROOT / "experiments" / "microcontroller" / "README.md").read_text()
    return page.split("<!-- verdict -->\n")[1].split("\n<!-- end -->")[0]


def tables() -> dict[str, str]:
    """All tables of the page, by the name of their place."""
    return {
        "overall": overall(),
        "ratios": ratios(),
        "microcontroller": microcontroller(),
        "claims": verdicts(),
    }


def frontiers() -> Figure:
    """Accuracy against operations on every data set, a panel each."""
    parts = list(studies())
    look = study.looks_of(parts)
    figure, axes = study.panels(len(parts))
    for axis, part in zip(axes, parts):
        study.part_frontier(axis, part, look).set_title(part["dataset"]["name"])
    return figure


if __name__ == "__main__":
    atomic.write(PAGE, markdown.filled(PAGE.read_text(), tables()))
    save(frontiers(), FIGURE)
