"""Did transferability scores foretell the gain? Kendall's tau over sources, encoders and layers.

Within a target, a strategy and a budget, each row is an encoder (or a layer of one) with its mean
score and its mean gain. Pairs are compared within a budget and pooled over the budgets. The
interval is a percentile bootstrap over encoders; an encoder's copies make no pair. Of three or four
encoders it leaves out zero too often (in 32 and 7 % of cases where there is nothing; from five on
in at most 5), so they have none. The p value is that of a permutation of the encoders, which is
exact however few there are: three can give no less than 1/3, five no less than 1/60.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aetl.comparison.rows import Row, plain_name
from aetl.comparison.statistics import CONFIDENCE

MIN_ENCODERS = 3
MIN_FOR_INTERVAL = 5
WORK = 400_000
"""Pairs that a bootstrap or a permutation test looks at in all: of many encoders there are fewer
resamples."""


@dataclass(frozen=True)
class Correlation:
    """Kendall's tau-b between a score and the gain, both turned so that more is better."""

    target: str
    metric: str
    transfer: str
    score: str
    encoders: int
    tau: float
    ci_low: float | None
    """The bounds are None with fewer than five encoders."""
    ci_high: float | None
    p_value: float
    """Two-sided, that the score says nothing of the gain."""


Cell = Mapping[Hashable, tuple[float, float]]
"""A score and a gain for each encoder, at one budget."""


def correlations(table: Sequence[Row]) -> list[Correlation]:
    """One for each target, metric, strategy and score with at least three encoders."""
    groups: dict[tuple[str, ...], dict[Hashable, dict[Hashable, tuple[float, float]]]]
    groups = defaultdict(lambda: defaultdict(dict))
    for row in table:
        if row.gain_mean is None:
            continue
        encoder = row.source, row.autoencoder, row.loss, row.transfer, row.runs[0].settings
        for name, value in score_means(row).items():
            key = row.target, row.metric, plain_name(row.transfer), name
            groups[key][row.budget][encoder] = value, row.gain_mean
    found = [_correlation(key, list(cells.values())) for key, cells in groups.items()]
    return [one for one in found if one is not None]


def score_means(row: Row) -> dict[str, float]:
    """The means over the row's runs of their scores, turned so that more is better."""
    values: dict[str, list[float]] = defaultdict(list)
    for run in row.runs:
        noted: Mapping[str, Any] = run.record.get("transferability") or {}
        for name, value in (noted.get("scores") or {}).items():
            higher = (noted.get("higher_is_better") or {}).get(name, True)
            values[name].append(float(value) if higher else -float(value))
    return {name: sum(v) / len(v) for name, v in values.items()}


def _correlation(key: tuple[str, ...], cells: Sequence[Cell]) -> Correlation | None:
    encoders = list(dict.fromkeys(encoder for cell in cells for encoder in cell))
    tau = kendall(cells, Counter(encoders))
    if len(encoders) < MIN_ENCODERS or tau is None:
        return None
    pairs = max(1, sum(len(cell) * (len(cell) - 1) // 2 for cell in cells))
    low, high = bounds(cells, encoders, pairs)
    target, metric, transfer, score = key
    p_value = permutation_p_value(cells, encoders, tau, WORK // pairs)
    return Correlation(target, metric, transfer, score, len(encoders), tau, low, high, p_value)


def bounds(
    cells: Sequence[Cell], encoders: Sequence[Hashable], pairs: int
) -> tuple[float, float] | tuple[None, None]:
    draw = random.Random(0)
    if len(encoders) < MIN_FOR_INTERVAL:
        return None, None
    drawn = [
        kendall(cells, Counter(draw.choices(encoders, k=len(encoders))))
        for _ in range(min(2000, max(100, WORK // pairs)))
    ]
    known = sorted(value for value in drawn if value is not None)
    outside = math.floor(0.5 * (1.0 - CONFIDENCE) * (len(known) - 1))
    return (known[outside], known[-1 - outside]) if len(known) > 1 else (None, None)


def permutation_p_value(
    cells: Sequence[Cell], encoders: Sequence[Hashable], tau: float, most: int
) -> float:
    """How often the encoders' scores, dealt out anew, are as far in or out of the gains' order.

    An encoder keeps its scores of all budgets together, and its gains. All orders where there are
    at most ``most``, else at most 2 000 of them at random (Phipson and Smyth 2010, equation 2).
    """
    once = Counter(encoders)
    whole = math.factorial(len(encoders)) <= most
    orders: Iterator[tuple[Hashable, ...]]
    if whole:
        orders = itertools.permutations(encoders)
    else:
        draw = random.Random(0)
        number = min(2000, max(200, most))
        orders = (tuple(draw.sample(encoders, len(encoders))) for _ in range(number))
    seen = extreme = 0
    for order in orders:
        found = kendall(_dealt(cells, dict(zip(encoders, order, strict=True))), once)
        seen += 1
        extreme += found is not None and abs(found) >= abs(tau) - 1e-12
    return extreme / seen if whole else (extreme + 1) / (seen + 1)


def _dealt(cells: Sequence[Cell], other: Mapping[Hashable, Hashable]) -> list[Cell]:
    """With the score of another encoder for each, where that has one at this budget."""
    return [
        {key: (cell[other[key]][0], gain) for key, (_, gain) in cell.items() if other[key] in cell}
        for cell in cells
    ]


def kendall(cells: Sequence[Cell], copies: Mapping[Hashable, int]) -> float | None:
    """tau-b (Kendall 1945) over the pairs within cells; None where all are tied in one of the two.

    ``copies`` says how often each encoder counts.
    """
    agreeing, untied_scores, untied_gains = 0, 0, 0
    for cell in cells:
        items = [(copies[key], *pair) for key, pair in cell.items() if copies[key]]
        for i, (count, score, gain) in enumerate(items):
            for other, score_, gain_ in items[:i]:
                weight = count * other
                by_score, by_gain = _sign(score - score_), _sign(gain - gain_)
                agreeing += weight * by_score * by_gain
                untied_scores += weight * abs(by_score)
                untied_gains += weight * abs(by_gain)
    if not untied_scores or not untied_gains:
        return None
    return agreeing / math.sqrt(untied_scores * untied_gains)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
