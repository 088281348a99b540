"""Tests marked `data` read the original files, so they need the folder that has them."""

import os

import pytest

from spikern.data.files import FOLDER


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get(FOLDER):
        return
    skip = pytest.mark.skip(reason=f"needs the original data files: set {FOLDER} to their folder")
    for item in items:
        if item.get_closest_marker("data"):
            item.add_marker(skip)
