"""Learning curves over budgets: what labels an arm saves, and from how many on it is no help.

How many labels scratch needs to match an arm is read off scratch's own curve over budgets.

The curve is the isotonic regression of scratch's mean scores over the budgets (more labels cannot
hurt), linear in the logarithm of the number of labels. How many labels end the help is where the
gain, as a decreasing curve (more labels need less help), comes down to zero. Intervals are
percentile bootstraps over seeds, which an arm and its twins share, on the test set that there is.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from aetl.comparison.gain import by_seed, mean_over_folds
from aetl.comparison.rows import Arm, Row
from aetl.comparison.run import Run
from aetl.comparison.statistics import CONFIDENCE, MIN_SEEDS, Interval, interval

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


@dataclass(frozen=True)
class Curve:
    """An arm over budgets on the seeds that it has at every one of them, so that no point is of
    other repetitions than the next."""

    rows: tuple[Row, ...]
    """By number of labels."""
    labels: tuple[int, ...]
    seeds: tuple[int, ...]
    scores: tuple[Interval, ...]
    gains: tuple[Interval, ...]
    """Over seeds and test examples, where these are known and no seed is left out."""
    ends: LabelsNeeded | None
    """From how many labels on the arm gains nothing; 0 where it never does. None of the twin."""

    @property
    def left_out(self) -> int:
        """How many seeds are not at every budget."""
        return len({seed for row in self.rows for seed in _by_seed(row)}) - len(self.seeds)


def learning_curves(table: Iterable[Row]) -> dict[Arm, Curve]:
    """Of the rows of one source, target and metric, the arms with two numbers of labels or more."""
    arms: dict[Arm, dict[int, Row]] = defaultdict(dict)
    for row in table:
        if labels := labels_of(row.runs[0]):
            arms[row.arm][labels] = row
    curves = {
        arm: _curve([found[labels] for labels in sorted(found)], sorted(found))
        for arm, found in arms.items()
        if len(found) >= MIN_BUDGETS
    }
    return {arm: curve for arm, curve in curves.items() if curve is not None}


def _curve(rows: Sequence[Row], labels: Sequence[int]) -> Curve | None:
    scores, gains = [_by_seed(row) for row in rows], [_gains_by_seed(row) for row in rows]
    seeds = sorted(set.intersection(*map(set, scores)))
    if not seeds:
        return None
    gained = sorted(set(seeds).intersection(*gains))
    return Curve(
        rows=tuple(rows),
        labels=tuple(labels),
        seeds=tuple(seeds),
        scores=tuple(interval([found[seed] for seed in seeds]) for found in scores),
        gains=tuple(
            _gain(row, [found[seed] for seed in gained])
            for row, found in zip(rows, gains, strict=True)
        )
        if gained
        else (),
        ends=None if rows[0].is_baseline or not gained else _ends(gains, labels, gained),
    )


def _gain(row: Row, values: Sequence[float]) -> Interval:
    return row.gain.interval if row.gain and row.n == len(values) else interval(values)


def _ends(
    gains: Sequence[Mapping[int, float]], labels: Sequence[int], seeds: Sequence[int]
) -> LabelsNeeded:
    def at(drawn: Sequence[int]) -> float:
        means = [-sum(found[seed] for seed in drawn) / len(drawn) for found in gains]
        return crossing(labels, isotonic(means, [1.0] * len(means)), 0.0)

    low, high = _bootstrapped(at, seeds)
    return LabelsNeeded(at(seeds), low, high, labels[0], labels[-1])


def _by_seed(row: Row) -> dict[int, float]:
    return {seed[0].seed: mean_over_folds(seed, row.metric) for seed in by_seed(row.runs)}


def _gains_by_seed(row: Row) -> dict[int, float]:
    found: dict[int, float] = {}
    for seed in by_seed(row.runs) if row.gain else ():
        gains = [run.gain(row.metric) for run in seed]
        known = [gain for gain in gains if gain is not None and math.isfinite(gain)]
        if len(known) == len(seed):
            found[seed[0].seed] = math.fsum(known) / len(known)
    return found


def _bootstrapped(
    value: Callable[[Sequence[int]], float], seeds: Sequence[int]
) -> tuple[float, float] | tuple[None, None]:
    """The percentile interval over seeds; none of fewer than make a verdict."""
    if len(seeds) < MIN_SEEDS:
        return None, None
    draw = random.Random(0)
    drawn = sorted(value(draw.choices(seeds, k=len(seeds))) for _ in range(RESAMPLES))
    outside = math.floor(0.5 * (1.0 - CONFIDENCE) * (RESAMPLES - 1))
    return drawn[outside], drawn[-1 - outside]


Scores = Mapping[int, Mapping[int, float]]
"""By number of labels and seed, turned so that more is better."""


def _twins(budgets: Sequence[Row]) -> Scores:
    curve: dict[int, dict[int, float]] = defaultdict(dict)
    for row in budgets:
        for seed in by_seed(row.runs):
            labels = labels_of(seed[0])
            scores = [run.twin.get(row.metric, math.nan) for run in seed]
            if labels and all(map(math.isfinite, scores)):
                mean = math.fsum(scores) / len(scores)
                curve[labels][seed[0].seed] = mean * seed[0].better(row.metric)
    return dict(sorted(curve.items()))


def _needed(row: Row, curve: Scores) -> LabelsNeeded:
    sign = 1 if row.higher_is_better else -1
    own = {seed: sign * score for seed, score in _by_seed(row).items()}
    least, *_, most = curve
    value = _matching(own, curve, [*{*own, *(s for scores in curve.values() for s in scores)}])
    shared = sorted(set(own).intersection(*curve.values()))
    low, high = _bootstrapped(lambda seeds: _matching(own, curve, seeds), shared)
    return LabelsNeeded(value, low, high, least, most)


def _matching(own: Mapping[int, float], curve: Scores, seeds: Sequence[int]) -> float:
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
