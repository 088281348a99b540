"""Where an original data file is: the user's folder, the cache, or its public home."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pooch

from spikern._utils.errors import DataError

FOLDER = "SPIKERN_DATA"
"""The environment variable that names the folder of the original files."""


def locate(relative_path: str, url: str, sha256: str | None, hint: str) -> Path:
    """The file, with its checksum verified; downloaded into the cache if it is nowhere.

    `sha256` is None for a file that has no published one that could be checked; what reads it
    then checks its structure. `hint` says in a few words what the file is and where people find
    it. Raises DataError on a file that is missing and cannot be downloaded, or that is not the
    one expected.
    """
    found = find(relative_path)
    if found is not None:
        return found if sha256 is None else verified(found, sha256, url)
    try:
        kept = cache_folder() / relative_path
        known = None if sha256 is None else f"sha256:{sha256}"
        return Path(pooch.retrieve(url, known, kept.name, kept.parent))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{relative_path} is missing and did not come from {url}: {error}; "
            f"put the file at {folders()[0] / relative_path} or set {FOLDER} to the folder that "
            f"has it ({hint})"
        ) from error


def find(relative_path: str) -> Path | None:
    """The file or folder, if it is in the user's folder or in the cache."""
    paths = (folder / relative_path for folder in folders())
    return next((path for path in paths if path.exists()), None)


def folders() -> list[Path]:
    """Where files are looked for: the folder that the user names, then the cache."""
    given = os.environ.get(FOLDER)
    if given and not Path(given).is_dir():
        raise DataError(f"{FOLDER} must name a folder, got '{given}'; mend or unset it")
    return [Path(given), cache_folder()] if given else [cache_folder()]


def cache_folder() -> Path:
    """Where downloads are kept: XDG_CACHE_HOME or ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "spikern" / "data"


def verified(path: Path, sha256: str, url: str) -> Path:
    """The path, if the file is the original."""
    with path.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != sha256:
        raise DataError(
            f"{path} is corrupt or another version: expected sha256 {sha256}, got {got}; "
            f"delete it or replace it by {url}"
        )
    return path
