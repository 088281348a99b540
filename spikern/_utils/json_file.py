"""JSON files: one object, written whole, held to a digest; and the form of what others wrote."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spikern._utils import atomic
from spikern._utils.errors import DataError

DIGEST = "sha256"
"""The entry that holds the digest of all others; files of version 0.1.0 have none."""


def canonical(content: Any) -> str:
    """JSON with sorted names and no spaces: equal content, equal text. Raises ValueError on NaN."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def write(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Write an object with its digest; returns it as it will be read.

    Raises ValueError or TypeError, and writes nothing, if JSON cannot hold it.
    """
    plain: dict[str, Any] = json.loads(json.dumps(content, allow_nan=False))
    atomic.write(path, json.dumps({**plain, DIGEST: digest(plain)}, indent=1))
    return plain


def read(path: Path, form: Any = dict) -> dict[str, Any]:
    """The object of a file that `write` made; DataError if it is of another form or was changed."""
    try:
        content: dict[str, Any] = parse(path.read_text(encoding="utf-8"), form)
        wanted = content.pop(DIGEST, None)
        if wanted is not None and wanted != digest(content):
            raise ValueError("its content is not what was written")
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    return content


def digest(content: Mapping[str, Any]) -> str:
    """The SHA-256 of the canonical text."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def parse(text: str, form: Any) -> Any:
    """The content of a JSON text; ValueError if it is not JSON or of another form.

    >>> parse("[[1, null]]", [(int, float | None)])
    [[1, None]]
    """
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not has_form(content, form):
        raise ValueError(f"unexpected content {text[:60]!r}")
    return content


def has_form(content: Any, form: Any) -> bool:
    """Whether parsed JSON has a form.

    A form is a type, or several as `int | None`; [form], a list of any length; (form, form), a list
    of these; {name: form}, an object with these entries, perhaps among others.

    >>> has_form({"epochs": [[1, 0.5]], "seed": 0}, {"epochs": [(int, float)]})
    True
    >>> has_form({"epochs": [[1]]}, {"epochs": [(int, float)]})
    False
    """
    if isinstance(form, list):
        return isinstance(content, list) and all(has_form(item, form[0]) for item in content)
    if isinstance(form, tuple):
        fits = isinstance(content, list) and len(content) == len(form)
        return fits and all(map(has_form, content, form))
    if isinstance(form, dict):
        fits = isinstance(content, dict) and form.keys() <= content.keys()
        return fits and all(has_form(content[name], below) for name, below in form.items())
    return isinstance(content, form) and not (isinstance(content, bool) and form is not bool)
