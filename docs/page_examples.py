"""The examples of a page: the tests run them, and generated.py for the figures that they save."""

from __future__ import annotations

import contextlib
import doctest
import re
from pathlib import Path


def run(page: Path, folder: Path) -> str:
    """Run a page's examples in `folder`, where their files go; return what differs."""
    text = re.sub(r"^```.*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    test = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    failures: list[str] = []
    with contextlib.chdir(folder):
        doctest.DocTestRunner(verbose=False).run(test, out=failures.append)
    return "".join(failures)


def shows_figures(page: Path) -> bool:
    """Whether a page shows figures that its own examples save."""
    return "](figures/" in page.read_text(encoding="utf-8")
