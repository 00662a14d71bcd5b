"""Details and foretold gains as sections of a page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from aetl.comparison.details import Detail, details
from aetl.comparison.foretold import Correlation, correlations
from aetl.comparison.rows import Row
from aetl.report.details_table import COLUMNS, correlation_text, detail_texts, explained
from aetl.report.markup import Cell, Html, breakable, live_table, section
from aetl.report.panel import Panel, p_text, panels

_FORETOLD = (
    "Kendall's tau between the transferability score that was computed before the transfer and the "
    "gain that was measured, over sources, encoders and layers within one target, strategy and "
    "budget: 1 where the score put them in the right order, 0 where it says nothing. In brackets "
    "the 95 % interval of a bootstrap over encoders, of which fewer than five are too few; p is "
    "of a permutation of the encoders."
)


def sections(table: Sequence[Row]) -> Iterable[Html | None]:
    """What the arms cost, and whether scores foretold the gains; where runs note it."""
    found = [detail for detail in details(table) if not detail.empty]
    if found:
        note = explained(found)
        yield section("What stands behind the rows", _details(table, found), note=note)
    foretold = correlations(table)
    if foretold:
        yield section("Did a score foretell it?", _correlations(foretold), note=_FORETOLD)


def _details(table: Sequence[Row], found: Sequence[Detail]) -> Html:
    names = ("source", "target", "metric")
    columns = [("arm", False), *((name, False) for name in names), ("budget", True)]
    choices = range(len(columns))
    columns += [(name, name != "head") for name in COLUMNS]
    panel_of = {id(row): panel for panel in panels(table) for row in panel.rows}
    body = [(_cells(panel_of[id(detail.row)], detail), "") for detail in found]
    return live_table("details", columns, body, choices)


def _cells(panel: Panel, detail: Detail) -> list[Cell]:
    row = detail.row
    names = (row.source, row.target, row.metric)
    needed = math.inf if detail.needed is None else detail.needed.value
    ends = math.inf if detail.ends is None else detail.ends.value
    numbers = (needed, ends, detail.oracle, detail.source_error, detail.source_score,
               row.effective_sample_size, detail.parameters, detail.seconds)  # fmt: skip
    values = ("" if number is None else number for number in numbers)
    *texts, head = detail_texts(panel, detail)
    return [
        Cell(breakable(panel.arms[row.arm]), row.transfer),
        *(Cell(name) for name in names),
        Cell(row.budget, number=True),
        *(
            Cell(text, "" if value == math.inf else value, number=True)
            for text, value in zip(texts, values, strict=True)
        ),
        Cell(head),
    ]


def _correlations(found: Sequence[Correlation]) -> Html:
    columns = [("target", False), ("strategy", False), ("metric", False), ("score", False)]
    columns += [("tau [95 %]", True), ("p", True), ("encoders", True)]
    body = [
        (
            [
                *(Cell(name) for name in (one.target, one.transfer, one.metric, one.score)),
                Cell(correlation_text(one), one.tau, number=True),
                Cell(p_text(one.p_value), one.p_value, number=True),
                Cell(one.encoders, number=True),
            ],
            "",
        )
        for one in found
    ]
    return live_table("foretold", columns, body, range(4))
