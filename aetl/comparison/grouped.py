"""``aetl compare --by KEY,...``: the score over any keys of the config, all else averaged.

The interval is over seeds, which are the repetitions: within a seed, the runs of a group are
averaged first, so that the runs of one seed do not pose as independent ones.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aetl.comparison.run import Run
from aetl.comparison.sources import changed
from aetl.comparison.statistics import Interval, interval
from aetl.comparison.verdict import Verdict, verdict
from aetl.config import ConfigError, nearest

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
    changed: tuple[str, ...] = ()
    """What of the code is not the same in all runs."""

    def values(self) -> dict[str, Any]:
        gain = self.gain or Interval(math.nan, None, None)
        mean = None if self.gain is None else gain.mean
        numbers = (self.runs, self.seeds, self.score.mean, self.score.low, self.score.high)
        found = (*numbers, mean, gain.low, gain.high, self.verdict)
        return self.group | {"metric": self.metric} | dict(zip(KEYS, found, strict=True))


def group_rows(
    runs: Iterable[Run], keys: Sequence[str], metric: str | None, mixed_sources: bool = False
) -> list[GroupRow]:
    """A row for each combination of the keys' values and each metric, ordered by the keys.

    Runs between which the code changed have no gain together, but with ``mixed_sources``. Raises
    ConfigError for a key that no run has.
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
    rows = [
        _row(dict(zip(keys, key, strict=False)), key[-1], group, mixed_sources)
        for key, group in groups.items()
    ]
    return sorted(rows, key=lambda row: [_order(v) for v in (row.metric, *row.group.values())])


def _row(group: dict[str, Any], metric: str, runs: Sequence[Run], mixed_sources: bool) -> GroupRow:
    scores, gains, mixed = defaultdict(list), defaultdict(list), changed(runs)
    for run in runs:
        scores[run.seed].append(run.scores[metric])
        gain = run.gain(metric)
        if gain is not None and math.isfinite(gain) and (mixed_sources or not mixed):
            gains[run.seed].append(gain)
    each = [_mean(values) for values in gains.values()]
    return GroupRow(
        group=group,
        metric=metric,
        runs=len(runs),
        seeds=len(scores),
        score=interval([_mean(values) for values in scores.values()]),
        gain=interval(each) if each else None,
        verdict=verdict(interval(each) if each else None, len(each), None),
        changed=mixed,
    )


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
