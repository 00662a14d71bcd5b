"""What stands behind a row: the oracle, the labels that scratch would need or that end the gain,
cost and retention."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aetl.comparison.foretold import score_means
from aetl.comparison.label_efficiency import (
    LabelsNeeded,
    labels_needed,
    labels_of,
    learning_curves,
)
from aetl.comparison.rows import Row
from aetl.comparison.run import Run


@dataclass(frozen=True)
class Detail:
    """Means over the runs of a row that note the value; None where none does."""

    row: Row
    oracle: float | None
    """The score of the best state by test labels, in the row's metric."""
    needed: LabelsNeeded | None
    ends: LabelsNeeded | None
    """From how many labels on the arm gains nothing."""
    source_error: float | None
    """The source's reconstruction error after the transfer, as a multiple of that before."""
    source_score: float | None
    """The change of a probe's score on the source."""
    parameters: float | None
    """Trained by gradients."""
    seconds: float | None
    head: str | None
    """What the head in closed form became: ``logistic, scale none, strength 0.1``."""

    def values(self) -> dict[str, Any]:
        """For JSON and CSV; labels are a number, or a text as ``>1000`` out of range."""
        return {
            "oracle": self.oracle,
            **_told("scratch_labels", self.needed),
            "labels_saved": self.saved,
            **_told("gain_ends", self.ends),
            "source_error_ratio": self.source_error,
            "source_score_change": self.source_score,
            "parameters_trained": self.parameters,
            "seconds": self.seconds,
            "head": self.head,
            "transferability": score_means(self.row),
        }

    @property
    def saved(self) -> float | None:
        """How many labels more scratch needs for the same score; None out of the budgets' range."""
        labels = labels_of(self.row.runs[0])
        if self.needed is None or labels is None or self.needed.value in (0.0, math.inf):
            return None
        return self.needed.value - labels

    @property
    def empty(self) -> bool:
        told = (self.oracle, self.needed, self.source_error, self.parameters, self.seconds,
                self.head, self.row.effective_sample_size)  # fmt: skip
        return all(value is None for value in told)


def _told(name: str, labels: LabelsNeeded | None) -> dict[str, float | str | None]:
    names = (name, f"{name}_low", f"{name}_high")
    if labels is None:
        return dict.fromkeys(names)
    bounds = (labels.value, labels.low, labels.high)
    return dict(zip(names, map(labels.told, bounds), strict=True))


def head_of(row: Row) -> str | None:
    """Of several runs whose heads became different ones the most frequent, and how many did."""
    told = [_head_told((run.record.get("head") or {}).get("transfer") or {}) for run in row.runs]
    counts = Counter(one for one in told if one)
    if not counts:
        return None
    one, number = counts.most_common(1)[0]
    return one if number == sum(counts.values()) else f"{one} ({number} of {counts.total()} runs)"


def _head_told(head: Mapping[str, Any]) -> str:
    settings = {k: v for k, v in head.items() if k not in ("head", *NOT_TOLD)}
    values = [f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in settings.items()]
    end = ["at an end of the strengths tried"] if head.get("at_end") else []
    return ", ".join([str(head["head"]), *values, *end]) if head else ""


NOT_TOLD = ("options", "folds", "score", "labels", "at_end")
"""What a head tells of its choice, beside the choice."""


def details(table: Sequence[Row]) -> list[Detail]:
    """One for each row, in their order."""
    needed = labels_needed(table)
    panels: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in table:
        panels[row.source, row.target, row.metric].append(row)
    curves = {key: learning_curves(rows) for key, rows in panels.items()}
    ends = [
        curve.ends if (curve := curves[row.source, row.target, row.metric].get(row.arm)) else None
        for row in table
    ]
    return [_detail(row, needed.get(place), ends[place]) for place, row in enumerate(table)]


def _detail(row: Row, needed: LabelsNeeded | None, ends: LabelsNeeded | None) -> Detail:
    return Detail(
        row,
        _mean(row, lambda run: _at(run, "oracle", row.metric)),
        needed,
        ends,
        _mean(row, _error_ratio),
        _mean(row, _score_change),
        _mean(row, lambda run: _at(run, "cost", "parameters_trained")),
        _mean(row, lambda run: _at(run, "cost", "seconds")),
        head_of(row),
    )


def _mean(row: Row, value: Callable[[Run], float | None]) -> float | None:
    known = [v for run in row.runs if (v := value(run)) is not None]
    return sum(known) / len(known) if known else None


def _at(run: Run, *path: str) -> float | None:
    value: Any = run.record
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return float(value) if isinstance(value, int | float) else None


def _error_ratio(run: Run) -> float | None:
    before, after = (_at(run, "retention", "reconstruction", when) for when in ("before", "after"))
    if before and after is not None:
        return after / before
    return 1.0 if _unchanged(run) else None


def _score_change(run: Run) -> float | None:
    before, after = (_at(run, "retention", "score", when) for when in ("before", "after"))
    if before is not None and after is not None:
        return after - before
    return 0.0 if _unchanged(run) else None


def _unchanged(run: Run) -> bool:
    return (run.record.get("retention") or {}).get("changed") is False
