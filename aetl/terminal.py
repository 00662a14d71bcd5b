"""What is printed: tables as wide as the terminal, and elsewhere as wide as a page.

Text is text here, never markup of rich's: a name in brackets is shown with its brackets, and what
a terminal would obey is shown and not sent to it. A style is given by ``styled``.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, TextIO

from aetl.printable import Shown, one_line, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

WIDTH = 100
"""Columns of a table in a pipe or a file, where ``COLUMNS`` says nothing else."""


_GAP = 2


def watched() -> bool:
    """Whether somebody sees a bar move: on a terminal, or in a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def open_streams() -> None:
    """Standard streams to which everything can be said.

    What their encoding lacks is shown in another way. One that was closed leads into nothing: else
    the next file that is opened has its number, and gets what is printed. A training does not end
    because nobody reads its progress any more (a pipe whose reader is gone, a closed terminal).
    """
    _complete()
    before: TextIO = sys.stderr
    if before is sys.__stderr__:
        raw = io.BufferedWriter(_Unheard(2, "w", closefd=False))
        sys.stderr = io.TextIOWrapper(raw, before.encoding, line_buffering=True)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="aetl")
    if logging.lastResort is not None:  # what prints warnings where nobody has set up a log
        logging.lastResort.setFormatter(Shown())


def let_go() -> None:
    """Of what was printed and cannot be written: at its end Python would try again, and fail."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Unheard(io.FileIO):
    """A stream that takes what it cannot write."""

    def write(self, content: Any) -> int:
        try:
            return super().write(content) or 0
        except OSError:
            return len(content)


def _complete() -> None:
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest number
        if getattr(sys, name) is None:
            stream = os.fdopen(number, "w" if number else "r", closefd=False)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def console(
    file: IO[str] | None = None, *, stderr: bool = False, width: int | None = None
) -> Console:
    """What prints tables: to ``file`` in plain text, else to standard output or error."""
    from rich.console import Console

    class Plain(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(printable(text), **options)

    found = Plain(
        file=file, stderr=stderr, markup=False, emoji=False, highlight=False,
        color_system=None if file else "auto",
    )  # fmt: skip
    if width is not None:
        found.width = width
    elif not found.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        found.width = WIDTH
    return found


def styled(*parts: str | tuple[str, str]) -> Text:
    """Text whose parts are plain, or text with a style: ``styled("a ", ("b", "bold red"))``."""
    from rich.text import Text

    clean = (printable(p) if isinstance(p, str) else (printable(p[0]), p[1]) for p in parts)
    return Text.assemble(*clean)


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


def print_markdown(text: str) -> int:
    """Markdown as a terminal shows it; in a pipe or a file as it is."""
    if not sys.stdout.isatty():
        print(printable(text), end="")
        return 0
    from rich.markdown import Markdown

    console().print(Markdown(printable(text)))
    return 0


def print_fitted(columns: Mapping[str, Sequence[str]]) -> int:
    """A table of one line a row: names that are too long for the width lose their middle.

    Where that is not enough a line is longer than the width: a number that lost its end would be
    another number.
    """
    from rich.table import Table

    out = console()
    texts = {name: [one_line(value) for value in values] for name, values in columns.items()}
    widths = fitted(texts, out.width, _GAP)
    out.width = max(out.width, sum(max(widths[n], len(n)) + _GAP for n in widths))
    table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="bold")
    for name in texts:
        table.add_column(name, no_wrap=True, min_width=min(widths[name], len(name)))
    for row in zip(*texts.values(), strict=True):
        table.add_row(*(shortened(text, widths[n]) for n, text in zip(texts, row, strict=True)))
    out.print(table)
    return 0


def shortened(text: str, width: int) -> str:
    """A text cut in its middle: the ends of names and paths tell them apart."""
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def fitted(columns: Mapping[str, Sequence[str]], width: int, gap: int) -> dict[str, int]:
    """The width of each column so that all stand on one line: the widest give way, down to 8."""
    found = {name: max(map(len, [name, *values])) for name, values in columns.items()}
    while sum(found.values()) + gap * len(found) > width:
        widest = max(found, key=lambda name: found[name])
        if found[widest] <= 8:
            break
        found[widest] -= 1
    return found
