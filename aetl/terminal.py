"""Tables on the terminal: as wide as it is, and everywhere else as wide as a page."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDTH = 100
"""Columns of a table in a pipe or a file."""


def watched() -> bool:
    """Whether somebody sees a bar move: on a terminal, or in a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def console() -> Console:
    """What prints tables to standard output."""
    from rich.console import Console

    found = Console(highlight=False)
    if not found.is_terminal:
        found.width = WIDTH
    return found


def table_of(*columns: str) -> Table:
    """An empty table with these columns; what does not fit is folded."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def print_table(table: Table) -> int:
    """Print it; returns the exit code of a command that ends so."""
    console().print(table)
    return 0
