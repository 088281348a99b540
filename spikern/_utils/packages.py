"""Optional packages."""

from __future__ import annotations

import importlib
from typing import Any

from spikern._utils.errors import UnsupportedError


def require(package: str, extra: str) -> Any:
    """Import an optional package. Raises UnsupportedError that names the extra to install.

    >>> require("no_such_package", "snntorch")
    Traceback (most recent call last):
    spikern.UnsupportedError: no_such_package is not installed; pip install 'spikern[snntorch]'
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.split(".")[0]:
            raise
        raise UnsupportedError(
            f"{package} is not installed; pip install 'spikern[{extra}]'"
        ) from None
