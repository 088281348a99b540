"""The picture of the README: a trained network on one digit, beside what all models need for one.

python docs/readme_picture.py                # train the BRF network of `spikern compare digits`
python docs/readme_picture.py runs/digits    # or take it from the folder of that comparison

Left: a BRF network of seed 0, with the training and size that the comparison gives it, reads the
first test image; its neurons are sorted by the frequency at which their membranes oscillate.
Right: the models of experiments/digits/results.json. It is written twice, in the colours of
`spikern.plot` for a light and for a dark page.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spikern import Network, fit, load, load_network, plot, record
from spikern.data import Dataset
from spikern.layers import hidden_for_budget
from spikern.plot import style
from spikern.train import fresh_network, recipe

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "experiments" / "digits" / "results.json"
STATIC = ROOT / "docs" / "_static"
MODEL, SEED, SAMPLE = "BRF", 0, 0
TABLE = "45nm_fp32"


def train(dataset: Dataset) -> Network:
    """The network of the comparison, trained again; a minute on one thread."""
    training = recipe(dataset.name)
    budget = training.match_parameters
    hidden = hidden_for_budget(MODEL, dataset.input_size, dataset.classes, budget)
    network = fresh_network(MODEL, hidden, dataset, SEED)
    fit(network, dataset, training.of(MODEL), SEED)
    return network.eval()


def draw(network: Network, dataset: Dataset, models: list[dict[str, Any]]) -> Figure:
    """Input, spikes and membrane potentials of one digit; accuracy against energy of all models."""
    figure = Figure(figsize=(9.6, 4.4), layout="constrained", facecolor="none")
    left, right = figure.subfigures(1, 2, width_ratios=[1.08, 1], wspace=0.03)
    for part in (left, right):
        part.set_facecolor("none")
    top, middle, bottom = left.subplots(3, 1, height_ratios=[1, 5, 2.5], sharex=True)
    pixels = dataset.test.x[:, SAMPLE : SAMPLE + 1]
    trace = record(network.body, pixels).sample(0)[0]
    with torch.no_grad():
        answer = dataset.class_names[int(network(pixels)[0].argmax())]
        hertz = network.body.params(0).omega / dataset.dt * 1e3 / (2 * torch.pi)
    title(top, f"A {MODEL} network reads a {answer}, pixel by pixel")
    plot.traces(pixels[:, 0], [""], dt=dataset.dt, axis=top).set(
        xlabel="", ylabel="pixel", yticks=[]
    )
    order = hertz.argsort()
    z, v = trace.state.z[:, order], trace.state.v[:, order]
    plot.raster(z, dt=dataset.dt, axis=middle).set(xlabel="", ylabel="neuron, by frequency")
    examples = [int(z[:, part].sum(0).argmax()) + part.start for part in thirds(len(order))]
    names = [f"{hertz[order][n]:.0f} Hz" for n in examples]
    plot.traces(v[:, examples], names, dt=dataset.dt, axis=bottom).set_ylabel(
        "membrane\npotential v"
    )
    left.align_ylabels()
    frontier = plot.accuracy_against_energy(models, TABLE, axis=right.subplots())
    title(frontier, f"Accuracy and energy on {len(dataset.test)} test digits")
    return figure


def thirds(n: int) -> list[slice]:
    """Three ranges that share n neurons: the slow, the middle and the fast."""
    return [slice(k * n // 3, (k + 1) * n // 3) for k in range(3)]


def title(axis: Axes, text: str) -> None:
    """A title that begins where the axis does."""
    axis.set_title(text, loc="left", color=plot.INK, fontsize=10.5, weight="bold")


def in_dark(svg: str) -> str:
    """The same picture in the colours for a dark page."""
    for name, colour in plot.COLOURS.items():
        svg = svg.replace(colour, style.DARK[name])
    return svg


def main(run: str | None = None) -> None:
    """Write docs/_static/readme_light.svg and readme_dark.svg."""
    torch.set_num_threads(1)
    dataset = load("digits")
    network = train(dataset) if run is None else load_network(run, MODEL, SEED)
    figure = draw(network, dataset, json.loads(RESULTS.read_text())["models"])
    light = style.as_svg(figure, "readme_light")
    for page, svg in (("light", light), ("dark", in_dark(light))):
        (STATIC / f"readme_{page}.svg").write_text(svg)


if __name__ == "__main__":
    main(*sys.argv[1:])
