"""How an object shows itself: one line in a terminal, a small table in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from html import escape
from textwrap import shorten
from typing import Any, TypeVar

Facts = Mapping[str, object]
"""What is worth knowing of an object, by name."""
Class = TypeVar("Class", bound=type)


def shown_by(facts: Callable[[Any], Facts]) -> Callable[[Class], Class]:
    """A decorator that gives a class a short `repr` and an HTML one, from the facts of an object.

    >>> @shown_by(lambda pair: {"first": pair[0], "second": pair[1]})
    ... class Pair(tuple): pass
    >>> Pair((1, 2))
    Pair(first 1; second 2)
    """

    def decorated(kind: Class) -> Class:
        name = kind.__name__

        def text(self: Any) -> str:
            return f"{name}({'; '.join(f'{key} {value}' for key, value in facts(self).items())})"

        def html(self: Any) -> str:
            return html_table(name, (), [(key, value) for key, value in facts(self).items()])

        kind.__repr__ = text  # type: ignore[assignment,method-assign]
        kind._repr_html_ = html  # type: ignore[attr-defined]
        return kind

    return decorated


def table_of_fields(kind: Class) -> Class:
    """A decorator by which a notebook shows a NamedTuple or a dataclass as a table of its fields.

    Those that a dataclass leaves out of its `repr` are left out here too. Of several records, as
    the epochs of a history, each is a row.

    >>> from typing import NamedTuple
    >>> @table_of_fields
    ... class Pair(NamedTuple):
    ...     first: float
    ...     second: list[int]
    >>> Pair(0.25, [1, 2])._repr_html_()
    '<table><caption>Pair</caption><tr><th>first</th><td>0.25</td></tr><tr><th>second</th>\
<td>[1, 2]</td></tr></table>'
    """

    def html(self: Any) -> str:
        facts = {name: getattr(self, name) for name in _fields(kind)}
        tables = [
            html_table(name, _fields(value[0]), [[_brief(cell) for cell in row] for row in value])
            for name, value in facts.items()
            if isinstance(value, list) and value and hasattr(value[0], "_fields")
        ]
        rows = [(name, _brief(value)) for name, value in facts.items()]
        return "".join([html_table(kind.__name__, (), rows), *tables])

    kind._repr_html_ = html  # type: ignore[attr-defined]
    return kind


def _fields(record: Any) -> Sequence[str]:
    names: Sequence[str] | None = getattr(record, "_fields", None)
    return names or [field.name for field in fields(record) if field.repr]


def _brief(value: Any) -> str:
    """A value in a cell: an array by its shape, a class or a function by its name."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype} {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return ", ".join(value)
    if isinstance(value, list) and value and hasattr(value[0], "_fields"):
        return str(len(value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return shorten(getattr(value, "__name__", str(value)), 120, placeholder=" ...")


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, the first column aligned left, the others right.

    >>> columns([("model", "AC"), ("LIF", "1,234")])
    ['model     AC', 'LIF    1,234']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(r, widths)))
        for r in rows
    ]


def html_table(caption: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; the first cell of every row is its heading.

    >>> html_table("Sizes", (), [("a < b", 1)])
    '<table><caption>Sizes</caption><tr><th>a &lt; b</th><td>1</td></tr></table>'
    """
    top = f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>" if head else ""
    body = "".join(
        f"<tr><th>{escape(str(first))}</th>"
        + "".join(f"<td>{escape(str(cell))}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return f"<table><caption>{escape(caption)}</caption>{top}{body}</table>"


def module_html(module: Any) -> str:
    """A torch module as a table: each of its parts, its settings, its parameters.

    >>> import torch
    >>> module_html(torch.nn.Linear(2, 1))[:76]
    '<table><caption>Linear</caption><tr><th></th><th>settings</th><th>parameters'
    """
    rows = [
        (
            f"{name} {type(part).__name__}".strip(),
            part.extra_repr(),
            f"{sum(p.numel() for p in part.parameters()):,}",
        )
        for name, part in module.named_modules()
        if not any(part.children())
    ]
    return html_table(type(module).__name__, ("", "settings", "parameters"), rows)
