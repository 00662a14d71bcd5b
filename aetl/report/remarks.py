"""What has to be known before the rows of a comparison are believed, a line each."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from aetl.comparison.gain import SEEDS
from aetl.comparison.rows import Row
from aetl.files import read_json
from aetl.report.panel import panels, signed


def remarks(table: Sequence[Row]) -> list[str]:
    """Intervals over seeds alone, test sets that are too small, arms that trained longer."""
    rows = [row for row in table if not row.is_baseline]
    return [*_over_seeds_alone(rows), *_small_test_sets(rows), *_longer(rows), *_of_races(rows)]


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
            least = signed(reach, panel.decimals).lstrip("+")
            yield (
                f"{panel.target}: with its {known[0][2]} no number of seeds can tell "
                f"a gain of {rope:g} in {panel.metric} from none (±{least} would stay)"
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
