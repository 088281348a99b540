"""What the page of this study has beside those of others: one figure and claims over all delays.

python experiments/memory/page.py   # from results.json
"""

import json
from pathlib import Path

from matplotlib.figure import Figure

from spikern._utils import atomic
from spikern.data.catalogue import DELAYS
from spikern.data.copying import SYMBOLS
from spikern.plot import study
from spikern.plot.style import MUTED, save
from spikern.report import markdown
from spikern.studies import claims, results

HERE = Path(__file__).parent
PLAIN = "LIF"
"""The spiking neuron that neither adapts nor resonates."""


def among_spiking(studied: list[results.Part]) -> str:
    """What adapts or resonates beside what does neither, all claims corrected together."""
    pairs = {}
    for delay, part in zip(DELAYS, studied):
        accuracy = {
            model: [run["test_accuracy"] for run in runs]
            for model, runs in results.by_model(part["runs"]).items()
        }
        pairs |= {
            f"{model} > {PLAIN}, {delay} steps": (accuracy[model], accuracy[PLAIN])
            for model in part["plan"]["spiking"]
            if model != PLAIN
        }
    return markdown.claims({"plan": studied[0]["plan"], "claims": claims(pairs)})


def drawn(studied: list[results.Part]) -> Figure:
    """Test accuracy of every model against the delay."""
    curves: dict[str, dict[float, list[float]]] = {}
    for delay, part in zip(DELAYS, studied):
        for model, runs in results.by_model(part["runs"]).items():
            curves.setdefault(model, {})[delay] = [run["test_accuracy"] for run in runs]
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axis = study.levels(figure.add_subplot(), curves, study.looks_of(studied), "delay (steps)")
    axis.axhline(1 / SYMBOLS, color=MUTED, lw=0.8, ls=":")
    axis.set_xscale("log")
    axis.set_xticks(DELAYS, labels=[str(delay) for delay in DELAYS], minor=False)
    axis.minorticks_off()
    return figure


if __name__ == "__main__":
    studied = json.loads((HERE / "results.json").read_text())["parts"]
    save(drawn(studied), HERE / "memory.svg")
    readme = HERE / "README.md"
    text = markdown.filled(readme.read_text(), {"among spiking": among_spiking(studied)})
    atomic.write(readme, text)
