"""The energy estimate of one inference beside a brain and two language models.

python experiments/article/scale.py RUN   # RUN is the folder of a finished `spikern compare`

Every line shows its arithmetic. The estimate of a small network and the power of a whole brain are
not the same kind of quantity; the lines only show how far apart they are.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import tyro

from spikern._utils.errors import InputError
from spikern._utils.program import errors_in_one_line
from spikern.cost.counts import Counts
from spikern.cost.estimates import PJ, Estimate, energy
from spikern.cost.memory import BOUNDS
from spikern.cost.prices import tables
from spikern.cost.summary import estimates, widest_table
from spikern.layers.baseline import BASELINES
from spikern.report.numbers import significant
from spikern.studies.finished import open_run, trained

BRAIN_SYNAPSES = 1e14
BRAIN_WATTS = (20.0, 50.0)
BLOOM_QUERIES = 230_768
BLOOM_DAYS = 18
BLOOM_WATTS = 1_664.0
PALM_TRAINING_GWH = 3.4
"""The figures of the article that started this library."""
DAY = 86_400
GWH = 3.6e12
"""Seconds in a day, joules in a gigawatt-hour."""


class Quantity(NamedTuple):
    """Joules, from the lowest to the highest, and their arithmetic."""

    name: str
    joules: tuple[float, ...]
    arithmetic: str


def quantities(estimate: Estimate, counts: Counts, seconds: float) -> tuple[Quantity, ...]:
    """The quantities in joules, the least first; `seconds` is the duration of one inference.

    Of the network: one synapse, one inference, and one inference scaled to the synapses of a
    brain. Of the brain: one synapse and the whole, over the same time.

    Raises InputError unless the duration is positive and the network has synapses.
    """
    if not (seconds > 0 and math.isfinite(seconds)):
        raise InputError(f"seconds must be above 0 and finite, got {seconds}")
    synapses = sum(c.synapses for c in counts.connections)
    if synapses == 0:
        raise InputError("the network has no synapse, so nothing can be said per synapse")
    joules = estimate.pj / PJ
    source = f"{estimate.table}, {estimate.view}"
    brain = tuple(watts * seconds for watts in BRAIN_WATTS)
    span = f"{BRAIN_WATTS[0]:g} to {BRAIN_WATTS[1]:g} W x {seconds:.4g} s"
    bloom = f"{BLOOM_WATTS:,.0f} W x {BLOOM_DAYS} days x {DAY:,} s / {BLOOM_QUERIES:,} queries"
    mine = joules / synapses
    found = [
        Quantity(
            "one synapse of a brain in that time",
            tuple(j / BRAIN_SYNAPSES for j in brain),
            f"{span} / {BRAIN_SYNAPSES:.0e} synapses",
        ),
        Quantity(
            "one synapse of the network, estimate",
            (mine,),
            f"{joules:.4g} J / {synapses:,} synapses ({source})",
        ),
        Quantity("one inference, estimate", (joules,), f"{estimate.pj:.4g} pJ ({source})"),
        Quantity("a brain in that time", brain, span),
        Quantity(
            "one inference with a brain's synapses, estimate",
            (mine * BRAIN_SYNAPSES,),
            f"{mine:.4g} J x {BRAIN_SYNAPSES:.0e} synapses",
        ),
        Quantity("one query to BLOOM", (BLOOM_WATTS * BLOOM_DAYS * DAY / BLOOM_QUERIES,), bloom),
        Quantity(
            "training PaLM once",
            (PALM_TRAINING_GWH * GWH,),
            f"{PALM_TRAINING_GWH:g} GWh x {GWH:.1e} J",
        ),
    ]
    return tuple(sorted(found, key=lambda one: one.joules[-1]))


def main(run: tyro.conf.Positional[Path]) -> None:
    """Print the quantities of a run's most accurate spiking network, an inference per sequence."""
    opened = open_run(run)
    models = [trained(opened, name) for name in opened.models if name not in BASELINES]
    if not models:
        raise InputError(f"{run} has no spiking network")
    model = max(models, key=lambda m: float(m.result["test_accuracy"]))
    prices, view = tables(), BOUNDS[0]
    name = widest_table(estimates({model.name: model.counts}, prices), view)
    estimate = None if name is None else energy(model.counts, prices[name], view)
    if estimate is None:
        raise InputError(f"no table prices the memory traffic of {model.name}")
    test = opened.dataset.test
    seconds = float(test.lengths.double().mean()) * opened.dataset.dt / 1e3
    for one in quantities(estimate, model.counts, seconds):
        joules = " to ".join(map(significant, one.joules))
        print(f"{joules:>20} J  {one.name}: {one.arithmetic}")


if __name__ == "__main__":
    with errors_in_one_line():
        tyro.cli(main)
