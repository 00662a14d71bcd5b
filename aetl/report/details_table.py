"""Details and foretold gains as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from aetl.comparison.details import Detail
from aetl.comparison.foretold import Correlation
from aetl.report.panel import (
    NO_VALUE,
    Panel,
    baseline_text,
    budget_text,
    counted_in,
    p_text,
    signed,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

COLUMNS = {
    "needed": "{counted} that {baseline} would need to score as much [95 %]",
    "ends": "from how many {counted} on the arm gains nothing [95 % over seeds]",
    "oracle": "the best state by its test score, by which nothing was chosen",
    "source error": "the source's reconstruction error, as a multiple of that before",
    "source score": "the change of a probe's score on the source",
    "n eff": "effective sample size of the source's weights",
    "trained": "parameters",
    "s": "seconds of the transfer",
    "head": "what the head in closed form is, or became by cross-validation",
}
"""What the columns are."""


def explained(details: Sequence[Detail]) -> str:
    """One line on the columns that hold something."""
    baseline = baseline_text([detail.row for detail in details])
    counted = counted_in(run for detail in details for run in detail.row.runs)
    columns = zip(COLUMNS.items(), zip(*map(_values, details), strict=True), strict=True)
    parts = (
        f"{name}: {what}"
        for (name, what), values in columns
        if any(value not in (None, "") for value in values)
    )
    return "; ".join(parts).format(baseline=baseline, counted=counted)


def _values(detail: Detail) -> tuple[object, ...]:
    """What stands in ``COLUMNS``, where there is something."""
    return (
        detail.needed, detail.ends, detail.oracle, detail.source_error, detail.source_score,
        detail.row.effective_sample_size, detail.parameters, detail.seconds, detail.head,
    )  # fmt: skip


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


def detail_table(panel: Panel, details: Sequence[Detail], width: int) -> RenderableType:
    """A line for each arm and budget of the panel, in as many tables as the width asks for;
    columns in which nobody has a value are left out."""
    from rich.console import Group

    several = len(panel.budgets) > 1
    texts = [detail_texts(panel, detail) for detail in details]
    labels = [
        panel.arms[detail.row.arm]
        + (f", {budget_text(detail.row.budget, panel.counted)}" if several else "")
        for detail in details
    ]
    head = list(COLUMNS).index("head")  # a sentence, for which no column is wide
    columns = {
        name: [line[i] for line in texts]
        for i, name in enumerate(COLUMNS)
        if i != head and any(line[i] != NO_VALUE for line in texts)
    }
    first = min(_LABELS, max(map(len, (*labels, _TITLE))))
    tables = [_details(labels, part, first) for part in _fitting(columns, width - first)]
    heads = [f"{label}: {d.head}" for label, d in zip(labels, details, strict=True) if d.head]
    return Group(*tables, *heads)


_TITLE, _LABELS, _GAP = "what stands behind it", 44, 2


def _fitting(columns: dict[str, list[str]], width: int) -> Iterator[dict[str, list[str]]]:
    """The columns cut into parts that are at most so wide."""
    part: dict[str, list[str]] = {}
    used = 0
    for name, cells in columns.items():
        wide = _GAP + max(map(len, (name, *cells)))
        if part and used + wide > width:
            yield part
            part, used = {}, 0
        part[name] = cells
        used += wide
    yield part


def _details(labels: Sequence[str], columns: dict[str, list[str]], first: int) -> RenderableType:
    from rich.table import Table

    table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="bold")
    table.add_column(_TITLE, width=first, overflow="fold")
    for name in columns:
        table.add_column(name, no_wrap=True, justify="right")
    for number, label in enumerate(labels):
        table.add_row(label, *(cells[number] for cells in columns.values()))
    return table


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
