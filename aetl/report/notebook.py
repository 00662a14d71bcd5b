"""Tables as notebooks show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aetl.report.markup import tag


def frame_of(rows: Sequence[Mapping[str, object]], caption: str, limit: int = 50) -> str:
    """Rows of named values, the first ``limit`` of them, above a caption."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    head = tag("thead", tag("tr", *(tag("th", name) for name in names)))
    shown = [[_short(row.get(name)) for name in names] for row in rows[:limit]]
    body = [tag("tr", *(tag("td", cell) for cell in row)) for row in shown]
    return tag("table", head, tag("tbody", *body)) + tag("p", caption)


def _short(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
