"""Pages whose numbers come from results files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from spikern.types import InputError


def filled(text: str, made: Mapping[str, str]) -> str:
    """The text with what stands between `<!-- name -->` and `<!-- end -->` made anew.

    InputError if the text has no such place.

    >>> filled("<!-- table -->\\nold\\n<!-- end -->", {"table": "new"})
    '<!-- table -->\\nnew\\n<!-- end -->'
    """
    for name, content in made.items():
        pattern = rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)"
        text, times = re.subn(
            pattern,
            lambda found, content=content: f"{found[1]}{content}\n{found[2]}",  # type: ignore[misc]
            text,
            flags=re.DOTALL,
        )
        if times == 0:
            raise InputError(f"the page has no place '<!-- {name} -->' ... '<!-- end -->'")
    return text


def machine(found: Mapping[str, Any], seconds: float) -> str:
    """What a study ran on, from its `provenance`, and how long its jobs trained in sum."""
    versions = ", ".join(
        f"{name} {found[name]}" for name in ("spikern", "torch", "numba", "python")
    )
    return (
        f"{found['processor']}, one thread a job, "
        f"{seconds / 60:.0f} minutes of training in sum; {versions}; commit {found['commit']}."
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left, the others to the right.

    >>> print(table(["model", "accuracy"], [["LIF", "90 %"]]))
    | model | accuracy |
    | --- | ---: |
    | LIF | 90 % |
    """
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))
