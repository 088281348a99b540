"""The user's folders."""

from __future__ import annotations

import os
from pathlib import Path

from spikern._utils.errors import DataError


def user_cache() -> Path:
    """XDG_CACHE_HOME, otherwise ~/.cache; DataError for a user without a home."""
    given = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(given) if given else Path.home() / ".cache"
    except RuntimeError as error:
        raise DataError("this user has no home folder; set HOME or XDG_CACHE_HOME") from error
