"""Arms over all pairs and budgets, as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aetl.comparison.aggregate import Aggregate
from aetl.comparison.statistics import Interval

if TYPE_CHECKING:
    from rich.console import RenderableType

AGGREGATED = ("gain, IQM [95 %]", "better than its twin [95 %]", "cells", "runs")


def aggregate_texts(one: Aggregate) -> list[str]:
    """The values of ``AGGREGATED``."""
    return [
        _text(one.gain, "+.3f"),
        _text(one.improvement, ".2f"),
        str(one.cells),
        str(one.runs),
    ]


def _text(found: Interval, form: str) -> str:
    if found.low is None or found.high is None:
        return f"{found.mean:{form}}"
    return f"{found.mean:{form}} [{found.low:{form}}, {found.high:{form}}]"


def aggregate_table(found: Sequence[Aggregate]) -> RenderableType:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("arm", max_width=44, overflow="fold")
    for name in AGGREGATED:
        table.add_column(escape(name), no_wrap=True, justify="right")
    for one in found:
        table.add_row(escape(one.label), *map(escape, aggregate_texts(one)))
    return table
