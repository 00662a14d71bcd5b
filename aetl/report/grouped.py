"""Runs grouped by any keys, shown: JSON, CSV, LaTeX, a table for the terminal and a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aetl.comparison.gain import BOTH
from aetl.comparison.grouped import GroupRow, Groups
from aetl.comparison.statistics import Interval
from aetl.report.markup import Cell, bullets, document, live_table, section, tag
from aetl.report.panel import SYMBOLS
from aetl.report.spreadsheet import csv_of
from aetl.report.table import tex, tex_name, verdict_text
from aetl.terminal import styled

if TYPE_CHECKING:
    from rich.console import RenderableType


def render_group_json(found: Groups) -> str:
    return json.dumps([row.values() for row in found.rows], indent=1, allow_nan=False) + "\n"


def render_group_csv(found: Groups) -> str:
    return csv_of([row.values() for row in found.rows], list(found.rows[0].values()))


def render_group_latex(found: Groups) -> str:
    r"""A booktabs table; needs ``\usepackage{booktabs}``."""
    rows = found.rows
    keys = list(rows[0].group)
    metrics = ", ".join(dict.fromkeys(row.metric for row in rows))
    notes = "".join(f" {tex(note[0].upper() + note[1:])}." for note in found.notes)
    lines = [r"\begin{table}", r"  \centering",
             rf"  \caption{{{tex(metrics)}: mean $\pm$ 95\,\% interval over seeds, "
             rf"and gain over the twin, over {_over(rows)}.{notes}}}",
             r"  \medskip",
             rf"  \begin{{tabular}}{{{'l' * len(keys)}rrrl}}", r"    \toprule",
             "    " + " & ".join([*map(tex, keys), "seeds", tex(metrics), "gain", "verdict"])
             + r" \\",
             r"    \midrule"]  # fmt: skip
    for row in rows:
        cells = [tex_name(str(value)) for value in row.group.values()]
        maths = [text.replace("±", r"\pm ") for text in _texts(row)]
        score, gain = (f"${text}$" if text else "" for text in maths)
        lines.append(
            "    " + " & ".join([*cells, str(row.seeds), score, gain, row.verdict]) + r" \\"
        )
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""])


def group_table(found: Groups) -> RenderableType:
    """For the terminal."""
    from rich.console import Group
    from rich.table import Table

    rows = found.rows
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    several = len({row.metric for row in rows}) > 1
    for name in (*rows[0].group, *(("metric",) if several else ())):
        table.add_column(name)
    for name in ("runs", "seeds", "score" if several else rows[0].metric, "gain", "verdict"):
        table.add_column(name, justify="right" if name in ("runs", "seeds") else "left")
    for row in rows:
        values = [*row.group.values(), *((row.metric,) if several else ())]
        cells = [str(row.runs), str(row.seeds), *_texts(row)]
        table.add_row(*map(str, values), *cells, verdict_text(row.verdict))
    legend = f"± 95 % over seeds, of gains over {_over(rows)}"
    return Group(table, *(styled((line, "dim")) for line in (legend, *found.notes)))


def group_page(found: Groups) -> str:
    """A page that sorts and filters."""
    rows = found.rows
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
        said = f"{SYMBOLS[row.verdict]} {row.verdict}"
        cells.append(Cell(tag("span", said, class_=f"badge {row.verdict}"), row.verdict))
        body.append((cells, ""))
    table = live_table("groups", columns, body, choices=range(len(keys)))
    note = (
        f"Mean and 95 % interval over seeds, of gains over {_over(rows)}; all that is no column is "
        "averaged within a seed."
    )
    title = f"Scores by {', '.join(keys)}"
    header = tag("header", tag("p", "aetl compare", class_="eyebrow"), tag("h1", title))
    return document(
        title, header, section("Groups", table, bullets(found.notes), note=note), script=True
    )


def _over(rows: Sequence[GroupRow]) -> str:
    both = any(row.over == BOTH for row in rows)
    return "seeds and test examples" if both else "seeds alone"


def _texts(row: GroupRow) -> tuple[str, str]:
    """Score and gain, each with half the width of its interval."""
    score = f"{row.score.mean:.3f}{_reach(row.score)}"
    return score, "" if row.gain is None else f"{row.gain.mean:+.3f}{_reach(row.gain)}"


def _reach(found: Interval) -> str:
    return "" if found.high is None else f" ±{found.high - found.mean:.3f}"
