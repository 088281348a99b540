"""The energy of an inference beside a brain and two language models."""

import importlib
from pathlib import Path

import pytest
import torch
from engine_cases import dyadic_layer, events

from spikern._utils.errors import InputError
from spikern.cost import count, energy, tables

FOLDER = Path(__file__).parent.parent / "experiments" / "article"


@pytest.fixture
def ladder(monkeypatch):
    """The function of the module beside the experiment."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("ladder").ladder


@pytest.fixture(scope="module")
def counts():
    with torch.no_grad():
        return count(dyadic_layer("ALIF", 6, 17), events(40, 3, 6), events=True)


def test_the_figures_are_those_of_the_article(ladder, counts):
    estimate = energy(counts, tables()["45nm_int8"], "registers")
    rungs = {rung.name: rung for rung in ladder(estimate, counts, seconds=2.0)}
    assert round(rungs["one query to BLOOM"].low, -2) == 11_200  # 11.2 kJ
    brain = rungs["a brain in that time"]
    assert (brain.low, brain.high) == (40.0, 100.0)
    assert rungs["training PaLM once"].low == pytest.approx(1.224e13)
    inference = rungs["one inference, estimate"]
    assert inference.low == estimate.pj * 1e-12
    synapses = sum(c.synapses for c in counts.connections)
    synapse = rungs["one synapse of the network, estimate"]
    assert synapse.low == inference.low / synapses
    assert f"{synapses:,} synapses" in synapse.arithmetic
    heights = [rung.high for rung in rungs.values()]
    assert heights == sorted(heights)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf")])
def test_a_duration_that_is_not_positive_is_refused(ladder, counts, seconds):
    with pytest.raises(InputError, match="seconds"):
        ladder(energy(counts, tables()["45nm_fp32"]), counts, seconds)
