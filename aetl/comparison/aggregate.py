"""An arm over all pairs and budgets: interquartile mean, probability of improvement, profile.

After Agarwal et al. (2021, arXiv:2108.13264; rliable): point estimates that few runs do not upset,
with intervals from a bootstrap that is stratified, so that each pair and budget keeps its number of
seeds. They are over seeds, on the test sets that there are.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aetl.comparison.gain import by_seed, mean_over_folds
from aetl.comparison.rows import Arm, Row, arm_labels, transfer_order
from aetl.comparison.statistics import CONFIDENCE, Interval

if TYPE_CHECKING:
    import numpy as np

RESAMPLES = 2000
MIN_CELLS = 2
PROFILE = 101
"""Gains at which a profile is given."""

Cells = Sequence[Any]
"""A value for each seed [S, ...] of each cell."""


@dataclass(frozen=True)
class Aggregate:
    """One arm over its cells (source, target and budget)."""

    arm: Arm
    label: str
    cells: int
    runs: int
    gain: Interval
    """Interquartile mean of the gains of all runs."""
    improvement: Interval
    """Probability that a run of the arm scores more than a run of its twin, the mean over cells."""
    profile: tuple[tuple[float, float], ...]
    """Gains, and the share of runs that gain more than that."""


def aggregates(table: Sequence[Row]) -> dict[str, list[Aggregate]]:
    """By metric with at least two pairs, the arms (not the twin) with at least two cells."""
    found: dict[str, list[Aggregate]] = {}
    for metric in dict.fromkeys(row.metric for row in table):
        rows = [row for row in table if row.metric == metric and not row.is_baseline]
        if len({(row.source, row.target) for row in rows}) < 2:
            continue
        of_arm: dict[Arm, list[Row]] = defaultdict(list)
        for row in rows:
            if row.gain_mean is not None:
                of_arm[row.arm].append(row)
        known = {arm: cells for arm, cells in of_arm.items() if len(cells) >= MIN_CELLS}
        if known:
            reach = max(abs(g) for cells in known.values() for row in cells for g in _gains(row))
            labels = arm_labels(rows)
            order = sorted(known, key=lambda arm: (transfer_order(arm[0]), arm))
            found[metric] = [_aggregate(arm, labels[arm], known[arm], reach) for arm in order]
    return found


def _aggregate(arm: Arm, label: str, rows: Sequence[Row], reach: float) -> Aggregate:
    import numpy as np

    gains = [np.array(_gains(row)) for row in rows]
    pairs = [np.array(_scores(row)) for row in rows]
    together = np.concatenate(gains)
    at = np.linspace(-reach, reach, PROFILE)
    shares = (together[:, None] > at).mean(0)
    return Aggregate(
        arm=arm,
        label=label,
        cells=len(rows),
        runs=len(together),
        gain=bootstrapped(gains, lambda drawn: interquartile_mean(np.concatenate(drawn, -1))),
        improvement=bootstrapped(pairs, probability_of_improvement, paired=False),
        profile=tuple(zip(at.tolist(), shares.tolist(), strict=True)),
    )


def _gains(row: Row) -> list[float]:
    found = [[run.gain(row.metric) for run in seed] for seed in by_seed(row.runs)]
    return [math.fsum(g for g in seed if g is not None) / len(seed) for seed in found
            if None not in seed]  # fmt: skip


def _scores(row: Row) -> list[tuple[float, float]]:
    """Of each seed the arm's score and the twin's, turned so that more is better."""
    sign = 1 if row.higher_is_better else -1
    return [
        (sign * mean_over_folds(seed, row.metric), sign * _twin(seed, row.metric))
        for seed in by_seed(row.runs)
        if all(row.metric in run.twin for run in seed)
    ]


def _twin(seed: Sequence[Any], metric: str) -> float:
    return math.fsum(run.twin[metric] for run in seed) / len(seed)


def interquartile_mean(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The mean of the middle half over the last axis: ``scipy.stats.trim_mean(values, 0.25)``."""
    import numpy as np

    n = values.shape[-1]
    cut = int(0.25 * n)
    middle: np.ndarray[Any, Any] = np.sort(values, -1)[..., cut : n - cut].mean(-1)
    return middle


def probability_of_improvement(cells: Cells) -> np.ndarray[Any, Any]:
    """P(arm > twin) over independent runs of a cell (Mann and Whitney's U, a tie being half), the
    mean over cells; ``cells`` are [..., seeds, 2]."""
    import numpy as np

    each = []
    for cell in cells:
        arm, twin = cell[..., :, None, 0], cell[..., None, :, 1]
        each.append(((arm > twin) + 0.5 * (arm == twin)).mean((-1, -2)))
    mean: np.ndarray[Any, Any] = np.mean(each, axis=0)
    return mean


def bootstrapped(cells: Cells, statistic: Callable[[Any], Any], *, paired: bool = True) -> Interval:
    """A statistic of all cells with its percentile interval; each cell's seeds are drawn anew.
    With ``paired`` False, the columns of a cell are drawn each for itself."""
    import numpy as np

    cells = [cell for cell in cells if len(cell)]
    if not cells:
        return Interval(math.nan, None, None)
    random = np.random.default_rng(0)
    drawn = []
    for cell in cells:
        n = len(cell)
        if paired:
            drawn.append(cell[random.integers(0, n, (RESAMPLES, n))])
        else:
            columns = [c[random.integers(0, n, (RESAMPLES, n))] for c in cell.T]
            drawn.append(np.stack(columns, -1))
    values = np.asarray(statistic(drawn))
    tail = 0.5 * (1.0 - CONFIDENCE)
    low, high = np.quantile(values, [tail, 1.0 - tail])
    enough = min(map(len, cells)) > 1
    mean = float(statistic(cells))
    return Interval(mean, float(low), float(high)) if enough else Interval(mean, None, None)
