"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from spikern._utils.errors import DataError


def write(path: Path, content: bytes | str) -> None:
    """Write to a temporary neighbour, flush to disk, then rename over `path`.

    The file has the permissions of any new file, as the umask says.
    """
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = temporary.open("xb")
    except OSError as error:
        raise DataError(
            f"cannot write in {path.parent}: {error.strerror}; choose another folder"
        ) from error
    try:
        with file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):  # a full disk, or a folder of that name
            raise DataError(f"cannot write {path}: {error.strerror}") from error
        raise
