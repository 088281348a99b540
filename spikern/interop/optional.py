"""Packages that spikern can use and does not need."""

from __future__ import annotations

import importlib
from typing import Any

from spikern.types import DataError


def require(package: str, extra: str) -> Any:
    """The package, or an error that says what to install.

    >>> require("no_such_package", "snntorch")
    Traceback (most recent call last):
    spikern.types.DataError: no_such_package is not installed; pip install 'spikern[snntorch]'
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.split(".")[0]:
            raise
        raise DataError(f"{package} is not installed; pip install 'spikern[{extra}]'") from error
