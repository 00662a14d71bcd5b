"""Details and foretold gains as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aetl.comparison.details import Detail
from aetl.comparison.foretold import Correlation
from aetl.report.panel import NO_VALUE, Panel, baseline_text, budget_text, p_text, signed

if TYPE_CHECKING:
    from rich.console import RenderableType

COLUMNS = {
    "labels": "labels that {baseline} would need to score as much [95 %]",
    "ends": "from how many labels on the arm gains nothing [95 % over seeds]",
    "oracle": "the best state by test labels, by which nothing was chosen",
    "source error": "the source's reconstruction error, as a multiple of that before",
    "source score": "the change of a probe's score on the source",
    "n eff": "effective sample size of the source's weights",
    "trained": "parameters",
    "s": "seconds of the transfer",
    "head": "what the head in closed form is, or became by cross-validation",
}
"""What the columns are."""


def explained(details: Sequence[Detail]) -> str:
    """One line on the columns."""
    baseline = baseline_text([detail.row for detail in details])
    parts = (f"{name}: {what}" for name, what in COLUMNS.items())
    return "; ".join(parts).format(baseline=baseline)


def detail_texts(panel: Panel, detail: Detail) -> list[str]:
    """The values of ``COLUMNS``."""
    needed = detail.needed.text() if detail.needed else NO_VALUE
    size = detail.row.effective_sample_size
    return [
        needed,
        detail.ends.text() if detail.ends else NO_VALUE,
        NO_VALUE if detail.oracle is None else panel.score(detail.oracle),
        NO_VALUE if detail.source_error is None else f"×{detail.source_error:.3g}",
        NO_VALUE if detail.source_score is None else signed(detail.source_score, panel.decimals),
        NO_VALUE if size is None else f"{size:,.0f}",
        NO_VALUE if detail.parameters is None else f"{detail.parameters:,.0f}",
        NO_VALUE if detail.seconds is None else f"{detail.seconds:.1f}",
        detail.head or NO_VALUE,
    ]


def detail_table(panel: Panel, details: Sequence[Detail]) -> RenderableType:
    """A line for each arm and budget of the panel."""
    from rich.console import Group
    from rich.table import Table

    several = len(panel.budgets) > 1
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("what stands behind it", max_width=44, overflow="fold")
    names = [name for name in COLUMNS if name != "head"]  # a sentence, for which no column is wide
    for name in names:
        table.add_column(name, no_wrap=True, justify="right")
    heads = []
    for detail in details:
        label = panel.arms[detail.row.arm]
        label += f", {budget_text(detail.row.budget)}" if several else ""
        table.add_row(label, *detail_texts(panel, detail)[: len(names)])
        heads += [f"{label}: {detail.head}"] if detail.head else []
    return Group(table, *heads) if heads else table


def correlation_text(one: Correlation) -> str:
    """``+0.67 [0.10, 1.00]``, or ``+0.33 (too few)``."""
    if one.ci_low is None or one.ci_high is None:
        return f"{one.tau:+.2f} (too few)"
    return f"{one.tau:+.2f} [{one.ci_low:+.2f}, {one.ci_high:+.2f}]"


def correlation_table(found: Sequence[Correlation]) -> RenderableType:
    """A line for each score of each target and strategy."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("target, strategy", max_width=44, overflow="fold")
    for name in ("score", "tau [95 %]", "p", "encoders"):
        table.add_column(name, no_wrap=True, justify="left" if name == "score" else "right")
    for one in found:
        label = f"{one.target}, {one.transfer}"
        table.add_row(
            label, one.score, correlation_text(one), p_text(one.p_value), str(one.encoders)
        )
    return table
