"""The comparison in the format that is asked for; JSON and CSV are written here."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from aetl.comparison.details import details as details_of
from aetl.comparison.foretold import correlations
from aetl.comparison.grouped import group_rows
from aetl.comparison.rows import CSV_KEYS, Family, Row, rows
from aetl.comparison.run import Found, find_runs
from aetl.config import ConfigError
from aetl.files import write_text
from aetl.report.panel import budget_text, counted_in, panels, said
from aetl.report.remarks import changed_code, changed_groups
from aetl.report.spreadsheet import csv_of

logger = logging.getLogger(__name__)

Format = Literal["table", "json", "csv", "latex", "html"]


def compare(
    paths: Sequence[str | Path],
    *,
    format: Format = "table",
    metric: str | None = None,
    output: str | Path | None = None,
    by: Sequence[str] = (),
    details: bool = False,
    rope: float | None = None,
    family: Family = "budget",
    mixed_sources: bool = False,
) -> int:
    """What ``aetl compare`` does: print the comparison, or write it to ``output``.

    With ``by``, a row for each combination of these keys' values in place of one for each arm.
    With ``details``, also what stands behind each row: in tables, as further keys of CSV, and of
    JSON, which then is an object of ``rows`` and ``correlations``. ``rope``, ``family`` and
    ``mixed_sources`` are those of ``rows``.

    Returns the exit code. Raises ConfigError for a missing path, metric or result.
    """
    try:
        found = find_runs(paths)
        table = rows(found.done, metric, rope=rope, family=family, mixed_sources=mixed_sources)
    except (FileNotFoundError, ValueError) as error:
        raise ConfigError(str(error)) from None
    if not table:
        raise ConfigError(_nothing(paths, found))
    if left_out := found.left_out():
        logger.warning("left out: %s", left_out)
    if by:
        _print_groups(found, by, format, metric, output, rope, mixed_sources)
    elif format == "html":
        from aetl.report.sweep_page import default_path, write_comparison

        path = Path(output) if output else default_path(paths)
        write_comparison(found, table, path)
        print(path)
    elif format == "table" and output is None:
        from aetl.report.table import print_table

        print_table(table, details)
    else:
        if format != "table":  # which has them below itself
            _warn(changed_code(table))
        _emit(_render(table, format, details), output)
    return 0


def _warn(lines: Iterable[str]) -> None:
    for line in lines:
        logger.warning("%s", line)


def _print_groups(
    found: Found, by: Sequence[str], format: Format, metric: str | None,
    output: str | Path | None, rope: float | None, mixed_sources: bool,
) -> None:  # fmt: skip
    from aetl.report import grouped

    table = group_rows(found.done, by, metric, rope=rope, mixed_sources=mixed_sources)
    if not table.rows:
        raise ConfigError(f"--by {','.join(by)}: no seed has a result in every cell of a group")
    _warn(changed_groups(table.rows))
    _warn(table.notes if format in ("json", "csv") else ())
    if format == "table":
        from aetl.report.table import print_renderable

        print_renderable(grouped.group_table(table), output)
    elif format == "html":
        from aetl.report.sweep_page import DEFAULT_NAME

        path = Path(output or DEFAULT_NAME)
        _emit(grouped.group_page(table), path)
        print(path)
    else:
        render = {
            "json": grouped.render_group_json,
            "csv": grouped.render_group_csv,
            "latex": grouped.render_group_latex,
        }
        _emit(render[format](table), output)


def render_json(table: Sequence[Row]) -> str:
    """A list of objects with ``JSON_KEYS``, numbers unrounded."""
    return json.dumps([row.values() for row in table], indent=1, allow_nan=False) + "\n"


def render_detailed_json(table: Sequence[Row]) -> str:
    """``rows`` with the CSV's keys and those of the details, and ``correlations``."""
    whole = {"rows": _detailed(table), "correlations": [vars(one) for one in correlations(table)]}
    return json.dumps(whole, indent=1, allow_nan=False) + "\n"


def _detailed(table: Sequence[Row]) -> list[dict[str, Any]]:
    return [detail.row.values(CSV_KEYS) | detail.values() for detail in details_of(table)]


def render_csv(table: Sequence[Row], details: bool = False) -> str:
    """The JSON's keys and what stands beside them, numbers unrounded, nothing for None."""
    lines = _detailed(table) if details else [row.values(CSV_KEYS) for row in table]
    for line in lines:
        line |= {f"score_{name}": value for name, value in line.pop("transferability", {}).items()}
    keys = dict.fromkeys([*CSV_KEYS, *(key for line in lines for key in line)])
    return csv_of(lines, list(keys))


def verdict_lines(table: Sequence[Row]) -> list[dict[str, Any]]:
    """Of each arm its name, outcome and verdict in words and symbol, and the CSV's numbers (of
    ``scratch_examples`` where budgets are no labels)."""
    names = {panel_row: panel.arms[panel_row.arm] for panel in panels(table)
             for panel_row in panel.rows}  # fmt: skip
    pairs = len({(row.source, row.target, row.metric) for row in table}) > 1
    lines = []
    for detail in (detail for detail in details_of(table) if not detail.row.is_baseline):
        row = detail.row
        where = f"{row.source} → {row.target}, {row.metric}, " if pairs else ""
        counted = counted_in(row.runs)
        name = f"{where}{names[row]}, {budget_text(row.budget, counted)}"
        # Keys of JSON and CSV stay what they are; these are read by people alone.
        behind = {key.replace("labels", counted): v for key, v in detail.values().items()}
        scores = {f"score_{key}": value for key, value in behind.pop("transferability").items()}
        lines.append(
            {"name": name, "outcome": row.outcome} | row.values(CSV_KEYS) | _ingredients(row)
            | behind | scores | {"verdict": said(row)}
        )  # fmt: skip
    keys = dict.fromkeys(key for line in lines for key in line)  # scores differ between arms
    return [{key: line.get(key) for key in keys} for line in lines]


def _ingredients(row: Row) -> dict[str, float | None]:
    """What a gain's interval is made of: numbers and components of variance."""
    crossed = row.gain.crossed if row.gain else None
    parts = ("seeds", "units", "of_seeds", "of_units", "of_rest")
    return {f"gain_{part}": getattr(crossed, part, None) for part in parts}


def _render(table: Sequence[Row], format: Format, details: bool) -> str:
    if format == "json":
        return render_detailed_json(table) if details else render_json(table)
    if format == "csv":
        return render_csv(table, details)
    from aetl.report.table import render_latex, render_table

    return render_latex(table) if format == "latex" else render_table(table, detailed=details)


def _emit(text: str, output: str | Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
        return
    write_text(Path(output), text)


def _nothing(paths: Sequence[str | Path], found: Found) -> str:
    where = ", ".join(str(path) for path in paths)
    left_out = found.left_out()
    return f"no finished run below {where}" + (f" ({left_out})" if left_out else "")
