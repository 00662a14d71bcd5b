"""Runs grouped by any keys, shown: JSON, CSV, LaTeX, a table for the terminal and a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aetl.comparison.grouped import GroupRow
from aetl.comparison.statistics import Interval
from aetl.report.markup import Cell, document, live_table, section, tag
from aetl.report.panel import SYMBOLS
from aetl.report.spreadsheet import csv_of
from aetl.report.table import tex

if TYPE_CHECKING:
    from rich.table import Table


def render_group_json(rows: Sequence[GroupRow]) -> str:
    return json.dumps([row.values() for row in rows], indent=1, allow_nan=False) + "\n"


def render_group_csv(rows: Sequence[GroupRow]) -> str:
    return csv_of([row.values() for row in rows], list(rows[0].values()))


def render_group_latex(rows: Sequence[GroupRow]) -> str:
    r"""A booktabs table; needs ``\usepackage{booktabs}``."""
    keys = list(rows[0].group)
    metrics = ", ".join(dict.fromkeys(row.metric for row in rows))
    lines = [r"\begin{table}", r"  \centering",
             rf"  \caption{{{tex(metrics)}: mean $\pm$ 95\,\% interval over seeds, "
             r"and gain over scratch.}",
             rf"  \begin{{tabular}}{{{'l' * len(keys)}rrr}}", r"    \toprule",
             "    " + " & ".join([*map(tex, keys), "seeds", tex(metrics), "gain"]) + r" \\",
             r"    \midrule"]  # fmt: skip
    for row in rows:
        cells = [tex(str(value)) for value in row.group.values()]
        maths = [text.replace("±", r"\pm ") for text in _texts(row)]
        score, gain = (f"${text}$" if text else "" for text in maths)
        lines.append("    " + " & ".join([*cells, str(row.seeds), score, gain]) + r" \\")
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""])


def group_table(rows: Sequence[GroupRow]) -> Table:
    """For the terminal."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    several = len({row.metric for row in rows}) > 1
    for name in (*rows[0].group, *(("metric",) if several else ())):
        table.add_column(name)
    for name in ("runs", "seeds", "score" if several else rows[0].metric, "gain", "verdict"):
        table.add_column(name, justify="right" if name in ("runs", "seeds") else "left")
    for row in rows:
        values = [*row.group.values(), *((row.metric,) if several else ())]
        said = f"{SYMBOLS[row.verdict]} {row.verdict}"
        cells = [str(row.runs), str(row.seeds), *_texts(row), said]
        table.add_row(*map(str, values), *cells)
    return table


def group_page(rows: Sequence[GroupRow]) -> str:
    """A page that sorts and filters."""
    keys = list(rows[0].group)
    columns = [*((key, False) for key in keys), ("metric", False), ("runs", True)]
    columns += [("seeds", True), ("score", True), ("gain", True), ("verdict", False)]
    body = []
    for row in rows:
        score, gain = _texts(row)
        cells = [Cell(str(value), value) for value in row.group.values()]
        cells += [Cell(row.metric), Cell(row.runs, number=True), Cell(row.seeds, number=True)]
        cells.append(Cell(score, row.score.mean, number=True))
        cells.append(Cell(gain, "" if row.gain is None else row.gain.mean, number=True))
        cells.append(Cell(tag("span", row.verdict, class_=f"badge {row.verdict}"), row.verdict))
        body.append((cells, ""))
    table = live_table("groups", columns, body, choices=range(len(keys)))
    note = "Mean and 95 % interval over seeds; all that is no column is averaged within a seed."
    title = f"Scores by {', '.join(keys)}"
    header = tag("header", tag("p", "aetl compare", class_="eyebrow"), tag("h1", title))
    return document(title, header, section("Groups", table, note=note), script=True)


def _texts(row: GroupRow) -> tuple[str, str]:
    """Score and gain, each with half the width of its interval."""
    score = f"{row.score.mean:.3f}{_reach(row.score)}"
    return score, "" if row.gain is None else f"{row.gain.mean:+.3f}{_reach(row.gain)}"


def _reach(found: Interval) -> str:
    return "" if found.high is None else f" ±{found.high - found.mean:.3f}"
