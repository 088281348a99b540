"""Where the original data files are: the user's folder, the cache, or their public home."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from spikern._utils.errors import DataError
from spikern._utils.folders import user_cache

FOLDER = "SPIKERN_DATA"
"""The environment variable that names the folder of the original files."""


def locate(relative_path: str, url: str, sha256: str | None, hint: str) -> Path:
    """Return the file, with its checksum verified; a missing file is downloaded into the cache.

    `sha256` is None for a file without a known checksum; its reader then checks its structure.
    `hint` says in a few words what the file is and where it is published. Raises DataError if the
    file cannot be downloaded, or if it is not the expected one.
    """
    path = find(relative_path)
    if path is not None:
        return path if sha256 is None else verified(path, sha256, url)
    import pooch  # a fifth of a second, and the list of data sets downloads nothing

    try:
        target = cache_folder() / relative_path
        checksum = None if sha256 is None else f"sha256:{sha256}"
        return Path(pooch.retrieve(url, checksum, target.name, target.parent))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{relative_path} is missing and did not come from {url}: {error}; "
            f"put the file at {folders()[0] / relative_path} or set {FOLDER} to the folder that "
            f"has it ({hint})"
        ) from None  # the causes within are those of the library that downloads


def find(relative_path: str) -> Path | None:
    """Return the file or folder if it is in the user's folder or in the cache."""
    paths = (folder / relative_path for folder in folders())
    return next((path for path in paths if path.exists()), None)


def folders() -> list[Path]:
    """Return the folders that are searched: the one that SPIKERN_DATA names, then the cache.

    A user without a home has no cache, which is an error only if nothing else is to be searched.
    """
    folder = os.environ.get(FOLDER)
    if folder and not Path(folder).is_dir():
        raise DataError(f"{FOLDER} must name a folder, got '{folder}'; mend or unset it")
    if not folder:
        return [cache_folder()]
    try:
        return [Path(folder), cache_folder()]
    except DataError:
        return [Path(folder)]


def cache_folder() -> Path:
    """Return the folder of downloads, in XDG_CACHE_HOME or ~/.cache."""
    return user_cache() / "spikern" / "data"


def verified(path: Path, sha256: str, url: str) -> Path:
    """Return the path if the file has the checksum."""
    with path.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != sha256:
        raise DataError(
            f"{path} is corrupt or another version: expected sha256 {sha256}, got {got}; "
            f"delete it or replace it by {url}"
        )
    return path
