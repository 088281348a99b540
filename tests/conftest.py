"""Tests marked `data` need the folder of the original files; kernels run as plain Python."""

import os
import warnings

import pytest
import torch
from numba import config

from spikern._utils import processes
from spikern.data.files import FOLDER
from spikern.engines import derivation
from spikern.engines.codegen import cache


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get(FOLDER):
        return
    skip = pytest.mark.skip(reason=f"needs the original data files: set {FOLDER} to their folder")
    for item in items:
        if item.get_closest_marker("data"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def seeded():
    """The weights that a test draws do not depend on the tests before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def one_thread():
    """Networks this small run no faster on many."""
    with processes.one_thread():
        yield


@pytest.fixture
def plain_python(monkeypatch, tmp_path):
    """Kernels without compilation and without what other tests left; returns a planter."""
    monkeypatch.setattr(config, "DISABLE_JIT", True)
    monkeypatch.setenv("SPIKERN_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "_modules", {})
    monkeypatch.setattr(cache, "_ready", set())
    monkeypatch.setattr(derivation, "_sources", {})
    monkeypatch.setattr(derivation, "_supported", {})
    # numpy warns of what the compiled kernels, as torch, compute without a word
    warnings.filterwarnings("ignore", "(divide by zero|invalid value|overflow)", RuntimeWarning)

    def plant(where, right, wrong, name=None):
        """Have `where` write another text, for the neuron of one name alone if one is given."""
        original = where.source

        def planted(neuron, *args, **settings):
            text = original(neuron, *args, **settings)
            if name is not None and neuron.name != name:
                return text
            if right not in text:
                raise LookupError(f"{where.__name__}.source does not write {right!r}")
            return text.replace(right, wrong)

        monkeypatch.setattr(where, "source", planted)

    return plant


@pytest.fixture
def mostly_plain(request):
    """Kernels of LIF and ALIF compiled; of the others plain Python, which takes no seconds each."""
    if request.node.callspec.params["name"] not in ("LIF", "ALIF"):
        request.getfixturevalue("plain_python")
