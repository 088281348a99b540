"""Packages that spikern can use and does not need."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from spikern._utils.errors import DataError, UnsupportedError


def require(package: str, extra: str) -> Any:
    """The package, or an error that says what to install.

    >>> require("no_such_package", "snntorch")
    Traceback (most recent call last):
    spikern.DataError: no_such_package is not installed; pip install 'spikern[snntorch]'
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.split(".")[0]:
            raise
        raise DataError(f"{package} is not installed; pip install 'spikern[{extra}]'") from error


def package(name: str) -> ModuleType:
    """A package that spikern does without unless it is asked for this."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UnsupportedError(f"{name} is not installed; pip install onnx onnxruntime") from error
