"""HTML in small pieces: what ``page`` and ``sweep_page`` are made of.

A ``str`` is text and is escaped; a ``Html`` is markup and is not. A page is one file: styles and
scripts are inside of it, and no address leads out of it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aetl.printable import printable


class Html(str):
    """Markup, in which everything that came from outside is escaped already."""

    __slots__ = ()


def escaped(value: object) -> Html:
    """Markup as it is; anything else as text that is shown and not obeyed."""
    return value if isinstance(value, Html) else Html(html.escape(printable(str(value))))


def tag(name: str, *content: object, **attributes: object) -> Html:
    """``<name key="value">content</name>``; ``class_`` is class, ``data_x`` is data-x.

    An attribute that is None or False is left out, one that is True has no value.
    """
    written = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            written.append(key)
        elif value is not None and value is not False:
            written.append(f'{key}="{escaped(str(value))}"')
    return Html(f"<{' '.join(written)}>{join(content)}</{name}>")


def join(parts: Iterable[object], between: str = "") -> Html:
    return Html(between.join(escaped(part) for part in parts if part is not None))


def section(title: str, *content: object, note: str | None = None) -> Html | None:
    """A headed section; None (which ``join`` leaves out) where there is nothing in it."""
    inside = [part for part in content if part]
    if not inside:
        return None
    return tag(
        "section", tag("h2", title), *inside, tag("p", note, class_="note") if note else None
    )


def figure(drawing: Html | None, caption: str) -> Html | None:
    """A drawing, which moves sideways where it is too wide, over its caption."""
    if not drawing:
        return None
    return tag("figure", scrolled(drawing), tag("figcaption", caption))


def bullets(lines: Sequence[str]) -> Html | None:
    """What has to be known before a table is believed, a line each."""
    return tag("ul", *(tag("li", line) for line in lines), class_="told") if lines else None


def chips(pairs: Iterable[tuple[str, object]]) -> Html:
    items = (tag("li", tag("span", name), " ", value) for name, value in pairs)
    return tag("ul", *items, class_="chips")


def facts(pairs: Mapping[str, object]) -> Html | None:
    """A table of names and values; values that are None or empty are left out."""
    rows = [
        tag("tr", tag("th", name, scope="row"), tag("td", value))
        for name, value in pairs.items()
        if value not in (None, "", {}, [])
    ]
    return scrolled(tag("table", *rows, class_="facts")) if rows else None


def folded(title: str, names: Sequence[object]) -> Html:
    """A list that opens on demand."""
    return tag("details", tag("summary", title), tag("ul", *(tag("li", name) for name in names)))


_CHOICES = 200  # a longer list is found by the search
_FEW = 4  # rows, among which nobody searches
_NOTHING: tuple[object, ...] = ("", None, "–")


_WORDS = 60
"""Letters from which on a cell has a width of its own; else it would be one word wide."""


@dataclass(frozen=True)
class Cell:
    """A table's cell; it is sorted and filtered by ``value``, or by its text where that is None."""

    content: object
    value: object = None
    number: bool = False

    def html(self) -> Html:
        is_long = type(self.content) is str and len(self.content) > _WORDS
        look = "number" if self.number else "words" if is_long else None
        return tag("td", self.content, class_=look, data_value=self.value)


def live_table(
    name: str,
    columns: Sequence[tuple[str, bool]],
    rows: Sequence[tuple[Sequence[Cell], str]],
    choices: Sequence[int] = (),
) -> Html:
    """A table that is sorted by its headers and filtered by the fields above it.

    ``columns`` are names and whether they hold numbers, ``rows`` cells with the row's class, and
    ``choices`` the columns that get a field with their values. Columns that say the same in every
    row (but for the first) are told once above it, empty ones not at all. Without scripts it is a
    plain table.
    """
    same = _constants(columns, rows)
    told = [(columns[i][0], content) for i, content in same.items() if content not in _NOTHING]
    kept = [i for i in range(len(columns)) if i not in same]
    choices = [kept.index(i) for i in choices if i in kept]
    columns = [columns[i] for i in kept]
    rows = [([cells[i] for i in kept], look) for cells, look in rows]
    head = [
        tag(
            "th",
            tag("button", title, type="button"),
            scope="col",
            class_="number" if number else None,
        )
        for title, number in columns
    ]
    body = [
        tag("tr", *(cell.html() for cell in cells), class_=look or None) for cells, look in rows
    ]
    table = tag(
        "table", tag("thead", tag("tr", *head)), tag("tbody", *body), id=name, class_="live"
    )
    search = tag("label", "search", Html(f'<input type="search" data-filters="{name}">'))
    fields = [_choice(name, columns[i][0], i, [cells[i] for cells, _ in rows]) for i in choices]
    count = tag("output", for_=name, aria_live="polite")
    filters = tag("div", search, *fields, count, class_="filters") if len(rows) > _FEW else None
    return join([chips(told) if told else None, filters, scrolled(table)])


def _constants(
    columns: Sequence[tuple[str, bool]], rows: Sequence[tuple[Sequence[Cell], str]]
) -> dict[int, object]:
    """What every row says, by the columns that say one thing; none of a single row."""
    if len(rows) < 2:
        return {}
    first = rows[0][0]
    return {
        i: first[i].content
        for i in range(1, len(columns))
        if all(cells[i].content == first[i].content for cells, _ in rows)
    }


def scrolled(content: Html) -> Html:
    """What moves sideways where it is too wide; by the keyboard, too."""
    return tag("div", content, class_="scroll", tabindex="0")


def breakable(name: str) -> Html:
    """A name that a narrow column breaks after its signs and not within a word."""
    return join(re.split(r"(?<=[/_,=])", name), "<wbr>")


def _choice(table: str, title: str, column: int, cells: Sequence[Cell]) -> Html | None:
    """A field with the values of a column; None where there is nothing to choose."""
    values = dict.fromkeys(str(c.content if c.value is None else c.value) for c in cells)
    if not 1 < len(values) <= _CHOICES:
        return None
    options = [tag("option", "all", value=""), *(tag("option", value) for value in values)]
    select = tag("select", *options, data_filters=table, data_column=column)
    return tag("label", title, select)


def document(title: str, *content: object, script: bool = False) -> str:
    """A whole page."""
    here = Path(__file__)
    style = here.with_name("page.css").read_text(encoding="utf-8")
    program = here.with_name("page.js").read_text(encoding="utf-8") if script else ""
    head = [
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<link rel="icon" href="data:,">'),  # or the browser asks for one
        tag("title", title),
        tag("style", Html(style)),
    ]
    end = tag("script", Html(program)) if script else None
    page = tag("html", tag("head", *head), tag("body", *content, end), lang="en")
    return f"<!doctype html>\n{page}\n"
