"""The whole account of a run as plain data: counts, estimates, statements, twins, times, ladder."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from spikern import parallel
from spikern.account.folder import Model, Run, trained
from spikern.account.twins import as_accurate, as_sparse, climb_entry, climbed, in_int8
from spikern.baselines import BASELINES
from spikern.engines import boundary
from spikern.measured import Contestant, measure
from spikern.ops import EnergyTable, energy, ladder
from spikern.ops.memory import BOUNDS
from spikern.ops.summary import counted, estimates, moved, one_table, statements
from spikern.provenance import provenance
from spikern.twins import Climb
from spikern.types import InputError

MILLISECONDS = 1e3
BATCHES = (1, 64)
"""Samples at a time, where times are measured."""


@parallel.one_thread()
def account(
    run: Run,
    tables: Mapping[str, EnergyTable],
    against: Sequence[str] = (),
    climb: bool = False,
    measured: bool = False,
) -> dict[str, Any]:
    """Everything of count.json; `against` names the standard models to compare with, none: all.

    `climb` trains standard models of other sizes, `measured` times all on this machine.
    Raises InputError on a model that is not in the run or not a standard one.
    """
    started = time.perf_counter()
    asked, names = wanted(run, against)
    models = [trained(run, name) for name in asked]
    spiking = [m for m in models if m.network.spiking]
    standards = [m for m in models if m.name in names]
    counts = {m.name: m.counts for m in models}
    pairs = [(a, b) for a in spiking for b in standards]
    climbs = [(a, b, climbed(a, b, run)) for a, b in pairs if climb]
    return {
        "schema": 1,
        "dataset": run.dataset.name,
        "seed": run.seed,
        "equal": equal(run),
        "tables": {
            t.name: {
                "title": t.title,
                "node": t.node,
                "precision": t.precision,
                "source": t.source,
                "not_modelled": t.not_modelled,
            }
            for t in tables.values()
        },
        "models": [described(m, tables) for m in models],
        "estimates": estimates(counts, tables),
        "statements": statements(counts, tables, names),
        "int8": in_int8(models, run, tables),
        "pruned": [as_sparse(a, b, run, tables) for a, b in pairs],
        "equal_accuracy": [as_accurate(a, standards) for a in spiking],
        "climbs": [climb_entry(found, a, b, run, tables) for a, b, found in climbs],
        "measured": times(run, spiking, standards, climbs) if measured else None,
        "ladder": rungs(run, spiking, tables),
        "provenance": provenance(time.perf_counter() - started, 1),
    }


def wanted(run: Run, against: Sequence[str]) -> tuple[list[str], list[str]]:
    """The models to reload, and which of them are the standard ones to compare with."""
    for name in against:
        boundary.check_choice("model of the run", name, run.comparison.models)
        if name not in BASELINES:
            raise InputError(f"{name} is a spiking model; name a standard one to compare with")
    names = list(against) or [m for m in run.models if m in BASELINES]
    asked = [m for m in run.models if m not in BASELINES or m in names]
    return list(dict.fromkeys([*asked, *names])), list(dict.fromkeys(names))


def described(model: Model, tables: Mapping[str, EnergyTable]) -> dict[str, Any]:
    """One model with its counts and its memory traffic."""
    kept = ("kind", "hidden", "parameters", "test_accuracy", "validation_accuracy")
    return {
        "name": model.name,
        **{key: model.result[key] for key in kept},
        "counts": counted(model.counts),
        "memory": moved(model.counts, tables),
    }


def equal(run: Run) -> str:
    """In what the models of the run are brought together."""
    return "parameters" if run.comparison.hidden is None else "width"


def best(models: Sequence[Model]) -> Model:
    """The most accurate on the test split."""
    return max(models, key=lambda m: float(m.result["test_accuracy"]))


def rungs(
    run: Run, spiking: Sequence[Model], tables: Mapping[str, EnergyTable]
) -> dict[str, Any] | None:
    """The ladder to reality of the most accurate spiking network; None if nothing prices it.

    One inference lasts as long as its sequence does: the mean over the test split.
    """
    if not spiking:
        return None
    model = best(spiking)
    name = one_table(estimates({model.name: model.counts}, tables), BOUNDS[0])
    found = None if name is None else energy(model.counts, tables[name], BOUNDS[0])
    if found is None:
        return None
    steps = float(run.dataset.test.lengths.double().mean())
    seconds = steps * run.dataset.dt / MILLISECONDS
    return {
        "model": model.name,
        "table": found.table,
        "view": found.view,
        "seconds": seconds,
        "rungs": [rung._asdict() for rung in ladder(found, model.counts, seconds)],
    }


def times(
    run: Run,
    spiking: Sequence[Model],
    standards: Sequence[Model],
    climbs: Sequence[tuple[Model, Model, Climb]],
) -> dict[str, Any]:
    """The most accurate spiking network timed beside its twins, interleaved, on one thread."""
    if not spiking:
        raise InputError("times are measured beside a spiking network; none was asked about")
    model = best(spiking)
    entered = [Contestant(model.name, "", model.network)]
    entered += [Contestant(m.name, equal(run), m.network) for m in standards]
    entered += [
        Contestant(b.name, "accuracy", found.reached.trained[0].network)
        for a, b, found in climbs
        if a is model and found.reached is not None
    ]
    test = run.dataset.test
    made = measure(entered, test, tuple(dict.fromkeys(min(n, len(test)) for n in BATCHES)))
    return {
        "rows": list(made.rows),
        "checks": [c._asdict() for c in made.checks],
        "missing": made.missing,
        "no_joules": made.no_joules,
    }
