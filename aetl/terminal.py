"""Tables on the terminal: as wide as it is, and everywhere else as wide as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 100
"""Columns of a table in a pipe or a file."""


def console() -> Console:
    """What prints tables to standard output."""
    from rich.console import Console

    found = Console(highlight=False)
    if not found.is_terminal:
        found.width = WIDTH
    return found
