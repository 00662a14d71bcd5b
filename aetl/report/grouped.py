"""``aetl compare --by KEY,...``: the score over any keys of the config, all else averaged.

The interval is over seeds, which are the repetitions: within a seed, the runs of a group are
averaged first, so that the runs of one seed do not pose as independent ones.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aetl.config import ConfigError, nearest
from aetl.report.run import Run
from aetl.report.statistics import Interval, Verdict, interval, verdict

if TYPE_CHECKING:
    from rich.table import Table

NAMES = ("source", "target", "autoencoder", "loss", "transfer", "budget", "selector", "seed")
"""Keys that are the record's own names; any other is a dotted key of the config."""

KEYS = ("runs", "seeds", "mean", "ci_low", "ci_high", "gain_mean", "gain_ci_low", "gain_ci_high",
        "verdict")  # fmt: skip


@dataclass(frozen=True)
class GroupRow:
    """The runs that agree in the keys. Gains are turned so that positive is better."""

    group: dict[str, Any]
    metric: str
    runs: int
    seeds: int
    score: Interval
    gain: Interval | None
    verdict: Verdict

    def values(self) -> dict[str, Any]:
        gain = self.gain or Interval(math.nan, None, None)
        mean = None if self.gain is None else gain.mean
        numbers = (self.runs, self.seeds, self.score.mean, self.score.low, self.score.high)
        found = (*numbers, mean, gain.low, gain.high, self.verdict)
        return self.group | {"metric": self.metric} | dict(zip(KEYS, found, strict=True))


def group_rows(runs: Iterable[Run], keys: Sequence[str], metric: str | None) -> list[GroupRow]:
    """A row for each combination of the keys' values and each metric, ordered by the keys.

    Raises ConfigError for a key that no run has.
    """
    groups: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    known: set[str] = set(NAMES)
    for run in runs:
        name = metric or run.metric
        if not math.isfinite(run.scores.get(name, math.nan)):
            continue
        config = {} if set(keys) <= set(NAMES) else run.config()
        known |= config.keys()
        values = tuple(getattr(run, key) if key in NAMES else config.get(key) for key in keys)
        groups[(*map(_frozen, values), name)].append(run)
    for key in keys:
        if key not in known:
            raise ConfigError(f"--by {key}: no run has this key; {nearest(key, known)}")
    rows = [_row(dict(zip(keys, key, strict=False)), key[-1], g) for key, g in groups.items()]
    return sorted(rows, key=lambda row: [_order(v) for v in (row.metric, *row.group.values())])


def _row(group: dict[str, Any], metric: str, runs: Sequence[Run]) -> GroupRow:
    scores, gains = defaultdict(list), defaultdict(list)
    for run in runs:
        scores[run.seed].append(run.scores[metric])
        gain = run.gain(metric)
        if gain is not None and math.isfinite(gain):
            gains[run.seed].append(gain)
    each = [_mean(values) for values in gains.values()]
    return GroupRow(
        group=group,
        metric=metric,
        runs=len(runs),
        seeds=len(scores),
        score=interval([_mean(values) for values in scores.values()]),
        gain=interval(each) if each else None,
        verdict=verdict(each),
    )


def render_group_json(rows: Sequence[GroupRow]) -> str:
    return json.dumps([row.values() for row in rows], indent=1, allow_nan=False) + "\n"


def render_group_csv(rows: Sequence[GroupRow]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0].values()), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.values() for row in rows)
    return text.getvalue()


def render_group_latex(rows: Sequence[GroupRow]) -> str:
    r"""A booktabs table; needs ``\usepackage{booktabs}``."""
    from aetl.report.table import tex

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
    from rich.markup import escape
    from rich.table import Table

    from aetl.report.panel import SYMBOLS

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    several = len({row.metric for row in rows}) > 1
    for name in (*rows[0].group, *(("metric",) if several else ())):
        table.add_column(escape(name))
    for name in ("runs", "seeds", "score" if several else rows[0].metric, "gain", "verdict"):
        table.add_column(name, justify="right" if name in ("runs", "seeds") else "left")
    for row in rows:
        values = [*row.group.values(), *((row.metric,) if several else ())]
        said = f"{SYMBOLS[row.verdict]} {row.verdict}"
        cells = [str(row.runs), str(row.seeds), *_texts(row), said]
        table.add_row(*(escape(str(value)) for value in values), *cells)
    return table


def group_page(rows: Sequence[GroupRow]) -> str:
    """A page that sorts and filters."""
    from aetl.report.markup import Cell, document, live_table, section, tag

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


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _frozen(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value


def _order(value: Any) -> tuple[int, float, str]:
    """Numbers by size, then words; what is missing first."""
    if value is None:
        return 0, 0.0, ""
    if isinstance(value, int | float):
        return 1, float(value), ""
    return 2, 0.0, str(value)
