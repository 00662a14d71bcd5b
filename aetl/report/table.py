"""The comparison as text: tables for the terminal and for LaTeX."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aetl.comparison.aggregate import aggregates
from aetl.comparison.details import Detail, details
from aetl.comparison.foretold import correlations
from aetl.comparison.rows import Arm, Row
from aetl.comparison.standing import Standing, standing_text, standings
from aetl.comparison.verdict import Verdict
from aetl.files import write_text
from aetl.printable import printable
from aetl.report.aggregate_table import aggregate_table
from aetl.report.details_table import correlation_table, detail_table, explained
from aetl.report.panel import (
    NO_VALUE,
    SYMBOLS,
    Panel,
    baseline_text,
    budget_text,
    needed,
    p_text,
    panels,
    said,
    symbol,
    symbols,
)
from aetl.report.remarks import interval_text, remarks
from aetl.terminal import WIDTH, console, styled

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text


_STYLES = {
    "positive": "green",
    "negative": "red",
    "equivalent": "cyan",
    "undecided": "default",
    "unknown": "dim",
}
_MEANT = {"○+N": "undecided, N more seeds would do"}
_LABEL_WIDTH = 44
_GAP = 2
_FEW_ROWS = 40
"""Up to so many rows their details are shown unasked."""


def print_table(rows: Sequence[Row], detailed: bool = False) -> None:
    """To the terminal, as wide as it is; into a pipe or a file, 100 columns wide.

    Details are shown where they are asked for, or where there are few rows.
    """
    _print(console(), rows, detailed)


def render_table(rows: Sequence[Row], width: int = WIDTH, detailed: bool = False) -> str:
    """The same without colours."""
    page, text = _plain_text(width)
    _print(page, rows, detailed)
    return _stripped(text)


def print_renderable(what: RenderableType, output: str | Path | None = None) -> None:
    """To the terminal, or to a file without colours."""
    if output is None:
        console().print(what)
        return
    page, text = _plain_text(WIDTH)
    page.print(what)
    write_text(Path(output), _stripped(text))


def _plain_text(width: int) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return console(text, width=width), text


def _stripped(text: io.StringIO) -> str:
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def _print(out: Console, rows: Sequence[Row], detailed: bool) -> None:
    behind = _behind(rows) if detailed or len(rows) <= _FEW_ROWS else {}
    for panel in panels(rows):
        out.print(styled((panel.title, "bold")))
        out.print(panel.subtitle())
        for table in _tables(panel, out.width):
            out.print(table)
        own = [behind[id(row)] for row in panel.rows if id(row) in behind]
        if own:
            out.print(detail_table(panel, own, out.width))
    out.print(_legend(rows), style="dim")
    if behind:
        out.print(explained([*behind.values()]), style="dim")
    elif len(rows) > _FEW_ROWS:
        out.print("--details: oracle, what scratch would need, cost, source", style="dim")
    if detailed or len(rows) <= _FEW_ROWS:
        _print_foretold(out, rows)
    for standing in standings(rows):
        out.print(styled("\n", (f"ranks by {standing.metric}", "bold")))
        out.print(standing_text(standing))
        out.print(_places(standing))
    for metric, found in aggregates(rows).items():
        out.print(styled("\n", (f"over all pairs and budgets, by {metric}", "bold")))
        out.print(aggregate_table(found))


def _behind(rows: Sequence[Row]) -> dict[int, Detail]:
    """The details that there are, by their row."""
    return {id(detail.row): detail for detail in details(rows) if not detail.empty}


def _print_foretold(out: Console, rows: Sequence[Row]) -> None:
    found = correlations(rows)
    if found:
        title = ("did a score foretell the gain?", "bold")
        out.print(styled("\n", title, " (Kendall's tau over encoders)"))
        out.print(correlation_table(found))


def _places(standing: Standing) -> RenderableType:
    from rich.table import Table

    outcomes = symbols(outcome for place in standing.places for outcome in place.outcomes)
    table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="bold")
    table.add_column("arm", max_width=_LABEL_WIDTH, overflow="fold")
    for name in ("mean rank", *outcomes.values(), "†"):
        table.add_column(name, no_wrap=True, justify="right")
    for place in standing.places:
        counts = [str(place.outcomes[outcome]) for outcome in outcomes]
        table.add_row(place.label, f"{place.rank:.2f}", *counts, str(place.beaten))
    return table


def _tables(panel: Panel, width: int) -> Iterator[RenderableType]:
    if len(panel.budgets) == 1:
        yield _long_table(panel)
        return
    label = min(_LABEL_WIDTH, width // 2, max(map(len, panel.arms.values())))
    cells = [_cell_lines(panel, row) for row in panel.rows]
    cells += [_control(panel, budget).split("\n") for budget in panel.budgets]
    cell = max(len(line) for lines in cells for line in lines)
    fit = max(1, (width - label - 1) // (cell + _GAP))
    for start in range(0, len(panel.budgets), fit):
        yield _grid(panel, panel.budgets[start : start + fit], label)


def _grid(panel: Panel, budgets: Sequence[int | str], label: int) -> RenderableType:
    """Arms x budgets; each cell has the mean over the gain."""
    from rich.table import Table

    table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="bold")
    table.add_column("arm", max_width=label, overflow="fold")
    for budget in budgets:
        table.add_column(budget_text(budget, panel.counted), no_wrap=True)
    for arm, name in panel.arms.items():
        cells = [panel.cells.get((arm, budget)) for budget in budgets]
        if any(cells):
            table.add_row(name, *(_cell(panel, row) for row in cells))
    controls = [_control(panel, budget) for budget in budgets]
    if any(controls):
        table.add_row("strongest control", *controls, style="dim")
    return table


def _long_table(panel: Panel) -> RenderableType:
    """One budget: a line for each arm."""
    from rich.table import Table

    budget = panel.budgets[0]
    table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="bold")
    head = f"arm, {budget_text(budget, panel.counted)}"
    table.add_column(head, max_width=_LABEL_WIDTH, overflow="fold")
    for name in (panel.metric, "gain", "95 %", "p (Holm)", "verdict"):
        table.add_column(name, no_wrap=True, justify="right" if name == "p (Holm)" else "left")
    for arm, name in panel.arms.items():
        row = panel.cells[arm, budget]
        seeds = "" if panel.seeds() else f" (n={row.n})"
        table.add_row(
            *(name, panel.mean(row) + seeds, panel.gain(row)),
            *(panel.gain_interval(row), p_text(row.p_value), _verdict(row)),
        )
    return table


def _control(panel: Panel, budget: int | str) -> str:
    found = panel.control(budget)
    return f"{found[0].removeprefix('control/')}\n{panel.score(found[1])}" if found else ""


def _cell_lines(panel: Panel, row: Row) -> list[str]:
    seeds = "" if panel.seeds() else f" n={row.n}"
    gain = panel.gain(row)
    mark = f" {symbol(row)}" if row.gain_mean is not None and not row.is_baseline else ""
    mark += "" if row.more_seeds is None else f"+{row.more_seeds}"
    return [panel.mean(row), gain + mark + seeds]


def _cell(panel: Panel, row: Row | None) -> str | Text:
    if row is None:
        return NO_VALUE
    mean, gain = _cell_lines(panel, row)
    style = "dim" if row.is_baseline else _STYLES[row.verdict]
    return styled(f"{mean}\n", (gain, style))


def _verdict(row: Row) -> str | Text:
    if row.is_baseline:
        return ""
    return styled((said(row), _STYLES[row.verdict]))


def verdict_text(verdict: Verdict) -> Text:
    """``▲ positive`` in its colour."""
    return styled((f"{SYMBOLS[verdict]} {verdict}", _STYLES[verdict]))


def _legend(rows: Sequence[Row]) -> str:
    over = f"gain over {baseline_text(rows)}, 95 % over {interval_text(rows)}:"
    parts = ["± 95 % over seeds", over]
    told = symbols(row.outcome for row in rows if not row.is_baseline)
    if any(row.more_seeds for row in rows):
        told["undecided"] += "+N"
    parts += [f"{mark} {_MEANT.get(mark, outcome)}" for outcome, mark in told.items()]
    if any(row.beaten for row in rows):
        parts.append("† a control does better")
    return "\n".join(["  ".join(parts), *remarks(rows)])


def render_latex(rows: Sequence[Row]) -> str:
    r"""A booktabs table for each source, target and metric; needs ``\usepackage{booktabs}``.

    Names in scripts that are neither Latin nor Greek need LuaLaTeX and a font that has them.
    """
    return "\n".join(_latex_panel(panel) for panel in panels(rows))


_ACROSS = 3  # so many budgets fit a page beside the arms; others go below


def _latex_panel(panel: Panel) -> str:
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{tex(panel.title)}: {tex(panel.subtitle())}. Mean $\pm$ 95\,\% interval; "
        rf"gain over {tex(panel.baseline)} below, its verdict at 95\,\% over "
        rf"{interval_text(panel.rows)}; "
        r"\textbf{best}; $^\dagger$ a control does better; "
        r"$^\ddagger$ trained longer than its twin.}",
        r"  \medskip",
    ]
    # An empty line ends a tabular's paragraph: the next one stands below it.
    parts = [panel.budgets[i : i + _ACROSS] for i in range(0, len(panel.budgets), _ACROSS)]
    for part in parts:
        lines += _latex_tabular(panel, part)
    return "\n".join([*lines, r"\end{table}", ""])


def _latex_tabular(panel: Panel, budgets: Sequence[int | str]) -> list[str]:
    best = {budget: panel.best(budget) for budget in budgets}
    head = [panel.counted, *(tex(str(budget)) for budget in budgets)]
    lines = [
        *([r"  \small\setlength{\tabcolsep}{4pt}"] if len(budgets) > 2 else []),
        rf"  \begin{{tabular}}{{l{'r' * len(budgets)}}}",
        r"    \toprule",
        f"    {' & '.join(head)} \\\\",
        r"    \midrule",
    ]
    arms = [_latex_arm(panel, arm, label, best) for arm, label in panel.arms.items()]
    for number, arm in enumerate(filter(None, arms)):
        lines += [r"    \addlinespace", *arm] if number else arm
    return [*lines, r"    \bottomrule", r"  \end{tabular}", ""]


def _latex_arm(panel: Panel, arm: Arm, label: str, best: dict[int | str, float]) -> list[str]:
    """Mean and gain below each other, and the verdict beside the gain or below it, where several
    budgets leave no room."""
    rows = {budget: panel.cells.get((arm, budget)) for budget in best}
    if not any(rows.values()):
        return []
    lines = [[tex_name(label, 2 if len(best) <= 2 else 3)], [""], [""]]
    for budget, row in rows.items():
        lines[0].append(_latex_mean(panel, row, best[budget]) if row else "--")
        gain, verdict = _latex_gain(panel, row) if row else ("", "")
        if len(best) <= 2:
            gain, verdict = " ".join(filter(None, [gain, f"({verdict})" if verdict else ""])), ""
        for line, text in zip(lines[1:], (gain, verdict), strict=True):
            line.append(rf"\footnotesize {text}" if text else "")
    return [f"    {' & '.join(line)} \\\\" for line in lines if any(line)]


def tex_name(name: str, lines: int = 1) -> str:
    """A name; a long one broken into lines, which may hang over so many lines of the table."""
    if len(name) <= _TEX_NAME:
        return tex(name)
    broken = "".join(tex(c) + (r"\allowbreak{}" if c in "/_=.-" else "") for c in printable(name))
    box = rf"\parbox[t]{{0.3\linewidth}}{{\raggedright {broken}\strut}}"
    return rf"\smash{{{box}}}" if len(name) <= (_TEX_NAME - 4) * lines else box


_TEX_NAME = 26


def _latex_mean(panel: Panel, row: Row, best: float) -> str:
    mean = panel.score(row.mean)
    mean = rf"\mathbf{{{mean}}}" if mean == panel.score(best) else mean
    reach = "" if row.ci_high is None else rf" \pm {panel.score(row.ci_high - row.mean)}"
    dagger = r"^{\dagger}" if row.beaten else ""
    return f"${mean}{reach}{dagger}$"


def _latex_gain(panel: Panel, row: Row) -> tuple[str, str]:
    """The gain and its verdict."""
    if row.gain_mean is None or row.is_baseline:
        return "baseline" if row.is_baseline else "", ""
    more = ", uncorrected" if row.uncorrected else ""
    more += f", {tex(needed(row))}" if needed(row) else ""
    gain = panel.gain(row).replace("‡", r"^{\ddagger}")
    return f"${gain}$", row.verdict + more


def _command(letter: str) -> str:
    r"""``\lambda`` for λ, which Unicode spells otherwise."""
    name = unicodedata.name(letter).rpartition(" ")[2].lower()
    return rf"\{'lambda' if name == 'lamda' else name}"


_TEX = str.maketrans(
    {
        **{character: rf"\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "→": r"$\to$",
        "·": r"$\cdot$",
        "<": "$<$",
        ">": "$>$",
        "|": "$|$",
        "±": r"$\pm$",
        "×": r"$\times$",
        "…": r"\dots{}",
        "−": "$-$",
        "≤": r"$\le$",
        "≥": r"$\ge$",
        "≈": r"$\approx$",
        "∞": r"$\infty$",
        "µ": r"$\mu$",
        "`": r"\textasciigrave{}",
        # After the end of a line they would be its options.
        "[": "{[}",
        "*": "{*}",
        **{letter: f"${_command(letter)}$" for letter in "αβγδεζηθικλμνξπρστυφχψω"},
    }
)


def tex(text: str) -> str:
    """Text as LaTeX shows it: no character acts, and no two become a dash."""
    return printable(text).translate(_TEX).replace("--", "-{}-").replace("--", "-{}-")
