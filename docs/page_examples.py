"""The examples of a page: the tests run them, and generated.py for the figures that they save."""

from __future__ import annotations

import contextlib
import doctest
import re
from pathlib import Path

ABOUT = doctest.register_optionflag("ABOUT")
"""The directive of an example whose numbers differ a little from machine to machine."""
WITHIN = 0.25
"""How far a number may then be from the one on the page, as a share of it."""
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


class Checker(doctest.OutputChecker):
    """Compares as doctest does, and numbers within WITHIN where an example says ABOUT."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        """Whether what came is what the page says."""
        if not optionflags & ABOUT:
            return super().check_output(want, got, optionflags)
        wanted, found = (list(map(float, NUMBER.findall(text))) for text in (want, got))
        return NUMBER.sub("#", want) == NUMBER.sub("#", got) and all(
            abs(a - b) <= WITHIN * abs(a) for a, b in zip(wanted, found)
        )


def of_block(block: str) -> list[doctest.Example]:
    """The examples of a block of code."""
    return doctest.DocTestParser().get_examples(block)


def run(page: Path, folder: Path) -> str:
    """Run a page's examples in `folder`, where their files go; return what differs."""
    text = re.sub(r"^```.*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    test = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    failures: list[str] = []
    with contextlib.chdir(folder):
        doctest.DocTestRunner(Checker(), verbose=False).run(test, out=failures.append)
    return "".join(failures)


def shows_figures(page: Path) -> bool:
    """Whether a page shows figures that its own examples save."""
    return "](figures/" in page.read_text(encoding="utf-8")
