"""How many labels scratch needs to match an arm: read off scratch's own curve over budgets.

The curve is the isotonic regression of scratch's mean scores over the budgets (more labels cannot
hurt), linear in the logarithm of the number of labels. The interval is a percentile bootstrap over
seeds, which an arm and its twins share.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aetl.comparison.gain import by_seed, mean_over_folds
from aetl.comparison.rows import Row
from aetl.comparison.run import Run
from aetl.comparison.statistics import CONFIDENCE, MIN_SEEDS

RESAMPLES = 400
MIN_BUDGETS = 2


@dataclass(frozen=True)
class LabelsNeeded:
    """Numbers of labels: 0 for fewer than the ``least`` budget, inf for more than the ``most``."""

    value: float
    low: float | None
    high: float | None
    least: int
    most: int

    def told(self, value: float | None) -> float | str | None:
        """A number, ``<10`` or ``>1000``."""
        if value is None or 0.0 < value < math.inf:
            return value
        return f">{self.most}" if value else f"<{self.least}"

    def text(self) -> str:
        """``230``, ``>1000``, with the interval: ``230 [120, >1000]``."""
        shown = [_short(self.told(v)) for v in (self.value, self.low, self.high)]
        return shown[0] if self.low is None else f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _short(value: float | str | None) -> str:
    return f"{value:.3g}" if isinstance(value, float) and value < 1000 else (
        f"{value:.0f}" if isinstance(value, float) else str(value))  # fmt: skip


def labels_of(run: Run) -> int | None:
    """How many labels a run had."""
    labels = run.record.get("labels", run.budget)
    return labels if isinstance(labels, int) else None


def labels_needed(table: Sequence[Row]) -> dict[int, LabelsNeeded]:
    """By the place of a row in the table; rows of arms that were run at one budget have none."""
    arms: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for place, row in enumerate(table):
        arms[(row.source, row.target, row.metric, *row.arm)].append(place)
    found = {}
    for places in arms.values():
        curve = _twins([table[place] for place in places])
        if len(curve) < MIN_BUDGETS:
            continue
        for place in places:
            if not table[place].is_baseline:
                found[place] = _needed(table[place], curve)
    return found


Curve = Mapping[int, Mapping[int, float]]
"""Scores by number of labels and seed, turned so that more is better."""


def _twins(budgets: Sequence[Row]) -> Curve:
    curve: dict[int, dict[int, float]] = defaultdict(dict)
    for row in budgets:
        for seed in by_seed(row.runs):
            labels = labels_of(seed[0])
            scores = [run.twin.get(row.metric, math.nan) for run in seed]
            if labels and all(map(math.isfinite, scores)):
                mean = math.fsum(scores) / len(scores)
                curve[labels][seed[0].seed] = mean * seed[0].better(row.metric)
    return dict(sorted(curve.items()))


def _needed(row: Row, curve: Curve) -> LabelsNeeded:
    sign = 1 if row.higher_is_better else -1
    own = {s[0].seed: sign * mean_over_folds(s, row.metric) for s in by_seed(row.runs)}
    least, *_, most = curve
    value = _matching(own, curve, [*{*own, *(s for scores in curve.values() for s in scores)}])
    shared = sorted(set(own).intersection(*curve.values()))
    if len(shared) < MIN_SEEDS:
        return LabelsNeeded(value, None, None, least, most)
    draw = random.Random(0)
    drawn = sorted(
        _matching(own, curve, draw.choices(shared, k=len(shared))) for _ in range(RESAMPLES)
    )
    outside = math.floor(0.5 * (1.0 - CONFIDENCE) * (RESAMPLES - 1))
    return LabelsNeeded(value, drawn[outside], drawn[-1 - outside], least, most)


def _matching(own: Mapping[int, float], curve: Curve, seeds: Sequence[int]) -> float:
    """The labels at which the curve of these seeds reaches the arm's mean over them."""
    means, weights = [], []
    for scores in curve.values():
        values = [scores[seed] for seed in seeds if seed in scores]
        means.append(sum(values) / len(values))
        weights.append(float(len(values)))
    values = [own[seed] for seed in seeds if seed in own]
    return crossing([*curve], isotonic(means, weights), sum(values) / len(values))


def isotonic(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The increasing sequence nearest to ``values`` in weighted squares (pool adjacent violators).

    Barlow et al. (1972), Statistical inference under order restrictions.
    """
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        pools.append((value, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, v, n), (b, w, m) = pools[-2:]
            pools[-2:] = [((a * v + b * w) / (v + w), v + w, n + m)]
    return [value for value, _, number in pools for _ in range(number)]


def crossing(labels: Sequence[int], curve: Sequence[float], value: float) -> float:
    """The fewest labels with ``curve >= value``; 0 below the curve's start, inf above its end."""
    if value < curve[0]:
        return 0.0
    for i, reached in enumerate(curve):
        if reached >= value:
            if i == 0:
                return float(labels[0])
            share = (value - curve[i - 1]) / (reached - curve[i - 1])
            return math.exp((1.0 - share) * math.log(labels[i - 1]) + share * math.log(labels[i]))
    return math.inf
