"""What has to be known before the rows of a comparison are believed, a line each."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from aetl.comparison.gain import SEEDS
from aetl.comparison.grouped import GroupRow
from aetl.comparison.rows import Row
from aetl.comparison.run import Run
from aetl.comparison.sources import changed
from aetl.files import read_json
from aetl.report.panel import kind_of_warning, panels


def remarks(table: Sequence[Row]) -> list[str]:
    """Intervals over seeds alone, test sets that are too small, arms that trained longer, code that
    changed, and what the runs warned of."""
    rows = [row for row in table if not row.is_baseline]
    return [
        *_over_seeds_alone(rows), *_small_test_sets(rows), *_longer(rows), *_of_races(rows),
        *changed_code(table), *_warned(table),
    ]  # fmt: skip


def interval_text(table: Iterable[Row]) -> str:
    """What the intervals of the gains are over: ``seeds and test examples``."""
    rows = [row for row in table if not row.is_baseline and row.gain]
    if rows and all(row.interval_over == SEEDS for row in rows):
        return "seeds alone"
    grouped = any(row.test_groups for row in rows)
    return f"seeds and {'groups of ' if grouped else ''}test examples"


def _over_seeds_alone(rows: Sequence[Row]) -> Iterator[str]:
    reasons = Counter(
        row.gain.lacking for row in rows if row.gain and row.gain.lacking and row.gain.seeds > 1
    )
    for reason, count in reasons.items():
        which = f"{count} of {len(rows)} gains" if count < len(rows) else "the gains"
        yield (
            f"the intervals of {which} are over seeds alone and too narrow for a claim about other "
            f"test examples: {reason}"
        )


def _small_test_sets(rows: Sequence[Row]) -> Iterator[str]:
    for panel in panels(rows):
        known = [
            (row.gain.best_reach, row.gain.rope, _test_set(row))
            for row in panel.rows
            if row.gain and row.gain.best_reach is not None and row.gain.rope
        ]
        if not known:
            continue
        reach, rope = statistics.median(one[0] for one in known), known[0][1]
        if reach > rope:
            yield (
                f"{panel.target}: with its {known[0][2]} no number of seeds can tell "
                f"a gain of {rope:g} in {panel.metric} from none (±{reach:.2g} would stay)"
            )


def _test_set(row: Row) -> str:
    of_groups = f" of {row.test_groups:,} groups" if row.test_groups else ""
    return f"{row.test_examples or 0:,} test examples{of_groups}"


def _longer(rows: Sequence[Row]) -> Iterator[str]:
    longer = [row for row in rows if row.longer]
    if longer:
        row = max(longer, key=lambda row: (row.steps or 0.0) / (row.twin_steps or 1.0))
        yield (
            f"‡ trained more steps than its twin ({row.transfer} at {row.budget}: {row.steps:,.0f} "
            f"against {row.twin_steps:,.0f}); finetune.max_steps=... makes them equal"
        )


def changed_code(table: Sequence[Row]) -> Iterator[str]:
    """Rows whose runs are of more than one code, and cells whose rows are."""
    mixed = [row for row in table if row.changed]
    if mixed:
        told = any(row.gain and not row.is_baseline for row in mixed)
        yield (
            f"the code ({_joined(name for row in mixed for name in row.changed)}) changed between "
            f"the runs of {_few([_named(row) for row in mixed])}: "
            + ("their gains mix both (--mixed-sources)" if told else _NO_GAIN)
        )
    cells: dict[tuple[str, str, str, str], list[Run]] = {}
    for row in table:
        cell = (row.source, row.target, str(row.budget), row.metric)
        cells.setdefault(cell, []).extend(() if row.changed else row.runs)
    apart = [(cell, found) for cell, runs in cells.items() if (found := changed(runs))]
    if apart:
        where = _few([f"{cell[0]} -> {cell[1]} at {cell[2]}" for cell, _ in apart])
        yield (
            f"the code ({_joined(name for _, found in apart for name in found)}) changed between "
            f"rows of {where}: each gain is over one code, rows are not one experiment"
        )


def changed_groups(table: Sequence[GroupRow]) -> Iterator[str]:
    """The same of rows that are grouped by keys."""
    mixed = [row for row in table if row.changed]
    if mixed:
        named = [", ".join(f"{k}={v}" for k, v in row.group.items()) for row in mixed]
        told = any(row.gain for row in mixed)
        yield (
            f"the code ({_joined(name for row in mixed for name in row.changed)}) changed between "
            f"the runs of {_few(named)}: "
            + ("their gains mix both (--mixed-sources)" if told else _NO_GAIN)
        )


_NO_GAIN = (
    "they have no gain together; aetl rerun makes them anew with the code of now, --mixed-sources "
    "takes them as they are"
)


def _warned(table: Sequence[Row]) -> Iterator[str]:
    """What the runs warned of: lines that differ in their numbers alone are one, with the rows that
    it is about."""
    kinds: dict[str, list[tuple[Row, str]]] = {}
    for row in table:
        for line in row.warned:
            kinds.setdefault(kind_of_warning(line), []).append((row, line))
    for found in list(kinds.values())[:_MOST_WARNINGS]:
        rows = list({id(row): row for row, _ in found}.values())
        runs, of = sum(row.warned[line] for row, line in found), sum(len(row.runs) for row in rows)
        which = "all rows" if len(rows) == len(table) else _few([_named(row) for row in rows])
        first = "" if len({line for _, line in found}) == 1 else ", the first"
        yield f"⚠ {which} ({min(runs, of)} of {of} runs{first}): {found[0][1]}"
    if len(kinds) > _MOST_WARNINGS:
        yield f"⚠ {len(kinds) - _MOST_WARNINGS} further warnings: aetl show RUN"


_MOST_WARNINGS = 8


def _named(row: Row) -> str:
    return f"{row.transfer} at {row.budget}"


def _few(names: Sequence[str], most: int = 3) -> str:
    """``a, b, c and 4 more``, each name once."""
    each = list(dict.fromkeys(names))
    more = f" and {len(each) - most} more" if len(each) > most else ""
    return ", ".join(each[:most]) + more


def _joined(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _of_races(rows: Sequence[Row]) -> Iterator[str]:
    """Arms that stopped when they were decided: a plain interval of theirs is a little too sure."""
    for folder in dict.fromkeys(run.folder.parent for row in rows for run in row.runs):
        try:
            noted = read_json(folder / "race.json")
            looks, arms = noted["looks"], noted["arms"]
            told = [
                f"{arm['transfer']} at {arm['budget']} {arm['outcome'] or 'undecided'}"
                + (f" at look {arm['look']} ({arm['seeds']} seeds)" if arm["look"] else "")
                for arm in arms
                if arm["outcome"] != "baseline"
            ]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        yield (
            f"{_shown(folder)}: seeds were added in a race, with looks at "
            f"{', '.join(map(str, looks))}; what counts is the verdict of its own boundaries: "
            f"{'; '.join(told)}"
        )


def _shown(folder: Path) -> str:
    return folder.name or str(folder)
