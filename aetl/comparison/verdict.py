"""What an interval of gains says, and how many more seeds or examples would make it say more.

``equivalent`` is asked first: a difference that is there but within the region of practical
equivalence (rope; Kruschke 2018, AMPPS 1:270-280) is told as what it is worth.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from aetl.comparison.crossed import Crossed
from aetl.comparison.statistics import ALPHA, MIN_SEEDS, Interval, t_cdf

Verdict = Literal["positive", "negative", "equivalent", "undecided", "unknown"]

MOST_SEEDS = 1000
MOST_EXAMPLES = 10_000_000


def verdict(gain: Interval | None, seeds: int, rope: float | None) -> Verdict:
    """Of the 95 % interval of the gains (positive = better) from so many seeds."""
    if gain is None or seeds < MIN_SEEDS:
        return "unknown"
    if gain.low is None or gain.high is None:
        return "undecided"
    if rope is not None and -rope <= gain.low and gain.high <= rope:
        return "equivalent"
    if gain.low > 0.0:
        return "positive"
    return "negative" if gain.high < 0.0 else "undecided"


def more_seeds(found: Crossed, mean: float, rope: float | None) -> int | None:
    """How many further seeds would decide, were mean and variances as found; None: none would."""
    most = max(MOST_SEEDS, 2 * found.seeds)
    return _more(found.seeds, most, lambda s: _decides(found.error(seeds=s), mean, rope))


def more_examples(found: Crossed, mean: float, rope: float | None) -> int | None:
    """How many further test examples (or groups) would, with the seeds that there are."""
    most = max(MOST_EXAMPLES, 2 * found.units)
    return _more(found.units, most, lambda n: _decides(found.error(units=n), mean, rope))


def _more(now: int, most: int, decides: Callable[[int], bool]) -> int | None:
    """By bisection: what decides goes on to decide with more."""
    if not decides(most):
        return None
    low, high = now, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high - now


def _decides(error_and_df: tuple[float, float], mean: float, rope: float | None) -> bool:
    error, df = error_and_df
    # Zero has to be left out, or the rope's nearer end reached: by whichever lies further off.
    room = abs(mean) if rope is None else max(abs(mean), rope - abs(mean))
    return error == 0.0 or t_cdf(-room / error, df) <= 0.5 * ALPHA


def better_on_a_new_seed(mean: float, deviation: float | None, seeds: int) -> float | None:
    """The probability that the arm beats its twin with one more seed, on this test set: the
    predictive t distribution of a normal sample (Gelman et al., Bayesian Data Analysis, 3.2)."""
    if deviation is None:
        return None
    if deviation == 0.0:
        return 0.5 if mean == 0.0 else float(mean > 0.0)
    return t_cdf(mean / (deviation * math.sqrt(1.0 + 1.0 / seeds)), seeds - 1)


def effect_size(mean: float, deviation: float | None, seeds: int) -> float | None:
    """The gain in standard deviations over seeds: Cohen's d of paired differences, corrected for
    few seeds (Hedges 1981, equation 6d)."""
    if not deviation or seeds < 2:
        return None
    df = seeds - 1
    correction = math.lgamma(0.5 * df) - math.lgamma(0.5 * (df - 1)) if df > 1 else None
    if correction is None:
        return None  # of two seeds it has no expectation
    return mean / deviation * math.exp(correction) / math.sqrt(0.5 * df)
