"""The arm to take: chosen by labels that its selector held out, never by a test score.

A test score that had a part in the choice would say no more what the chosen arm is worth.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from aetl.comparison.rows import Row, rows
from aetl.comparison.run import Run
from aetl.config import ConfigError, nearest

HINT = "an arm is judged by held-out labels with selector=target_validation"


@dataclass(frozen=True)
class Best:
    """The arm with the best mean over its seeds, for one target and budget."""

    target: str
    budget: int | str
    source: str
    autoencoder: str
    loss: str
    transfer: str
    selector: str
    metric: str
    held_out: float
    """The mean over the seeds of the score on the held-out labels."""
    labels: int
    """How many labels that are, of one seed."""
    seeds: int
    arms: int
    """How many arms it was chosen from."""
    left_out: int
    """Arms that no label was held out for."""
    run: Run = field(repr=False)
    """Of its seeds the one with the best held-out score."""

    def as_dict(self) -> dict[str, Any]:
        found = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "run"}
        return found | {"seed": self.run.seed, "run": str(self.run.folder)}


def best(runs: Iterable[Run], metric: str | None = None) -> list[Best]:
    """The best arm of each target and budget, in the order of a comparison.

    ``metric`` is one that labels were held out for (each run's first one). ``ConfigError`` where
    no arm was judged by such labels.
    """
    cells: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows(runs):
        cells[row.target, str(row.budget)].append(row)
    found = [_best(cell, metric) for cell in cells.values()]
    if not any(found):
        raise ConfigError(_nothing([row for cell in cells.values() for row in cell], metric))
    return [one for one in found if one is not None]


def _best(cell: Sequence[Row], metric: str | None) -> Best | None:
    judged = [row for row in cell if _judged(row, metric)]
    if not judged:
        return None
    sign = 1 if judged[0].runs[0].record["selection"]["higher_is_better"] else -1
    row = max(judged, key=lambda row: sign * _mean(row))  # of equal ones the first
    run = max(row.runs, key=lambda run: sign * _held_out(run))
    return Best(
        row.target, row.budget, row.source, row.autoencoder, row.loss, row.transfer, row.selector,
        run.record["selection"]["metric"], _mean(row), run.record["selection"]["labels"], row.n,
        len(judged), len(cell) - len(judged), run,
    )  # fmt: skip


def _judged(row: Row, metric: str | None) -> bool:
    """Whether each of its seeds held labels out."""
    found = [run.record.get("selection") for run in row.runs]
    return all(one and metric in (None, one["metric"]) for one in found)


def _held_out(run: Run) -> float:
    return float(run.record["selection"]["score"])


def _mean(row: Row) -> float:
    return fmean(_held_out(run) for run in row.runs)


def _nothing(table: Sequence[Row], metric: str | None) -> str:
    found = [run.record.get("selection") for row in table for run in row.runs]
    known = {str(one["metric"]) for one in found if one}
    if not table:
        return "best: there is no run with a result"
    if metric is not None and known:
        return f"--metric {metric}: no label was held out for it; {nearest(metric, known)}"
    return f"best: no arm was judged by labels that were held out for it; {HINT}"
