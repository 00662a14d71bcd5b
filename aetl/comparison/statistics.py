"""Student's t: quantiles, the interval over seeds, the paired test and Holm's correction.

Pure Python, since ``aetl compare`` has to start before NumPy would be imported. The t distribution
follows from the regularised incomplete beta function (Abramowitz and Stegun 1964, 26.7.1 and
26.5.8; the continued fraction is evaluated by the modified Lentz method, Press et al., Numerical
Recipes, 6.4).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
ALPHA = 1.0 - CONFIDENCE
MIN_SEEDS = 3  # with two seeds the t interval is 12.7 standard errors wide: no verdict from that


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval; the bounds are None with fewer than two values."""

    mean: float
    low: float | None
    high: float | None

    @property
    def reach(self) -> float | None:
        """Half the width."""
        return None if self.high is None else self.high - self.mean


def t_cdf(t: float, df: float) -> float:
    """P(T <= t) for Student's t with ``df`` > 0 degrees of freedom (inf: the normal one)."""
    if math.isinf(t):
        return 1.0 if t > 0 else 0.0
    if math.isinf(df):
        return 0.5 * math.erfc(-t / math.sqrt(2.0))
    tail = 0.5 * _incomplete_beta(0.5 * df, 0.5, df / (df + t * t), t * t / (df + t * t))
    return 1.0 - tail if t > 0 else tail


def t_density(t: float, df: float) -> float:
    """The derivative of ``t_cdf``."""
    if math.isinf(df):
        return math.exp(-0.5 * t * t) / math.sqrt(2.0 * math.pi)
    log_scale = math.lgamma(0.5 * (df + 1.0)) - math.lgamma(0.5 * df)
    log_kernel = -0.5 * (df + 1.0) * math.log1p(t * t / df)
    return math.exp(log_scale + log_kernel) / math.sqrt(df * math.pi)


@functools.lru_cache(maxsize=4096)
def t_quantile(p: float, df: float) -> float:
    """The t with ``t_cdf(t, df) == p``, for 0 < p < 1."""
    if not 0.0 < p < 1.0:
        raise ValueError(f"a quantile needs 0 < p < 1, not {p}")
    if p == 0.5:
        return 0.0
    tail = min(p, 1.0 - p)
    low, high = -1.0, 0.0
    while t_cdf(low, df) > tail:
        low, high = 2.0 * low, low
    # Newton's steps, with bisection where one would leave the bracket: they may diverge in tails.
    t = 0.5 * (low + high)
    for _ in range(200):
        off = t_cdf(t, df) - tail
        low, high = (low, t) if off > 0.0 else (t, high)
        slope = t_density(t, df)
        step = t - off / slope if slope > 0.0 else low
        new = step if low < step < high else 0.5 * (low + high)
        if abs(new - t) <= 1e-15 * abs(t) or new in (low, high):
            t = new
            break
        t = new
    return t if p < 0.5 else -t


def interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Mean and two-sided t interval of the mean; a point where all values are equal."""
    mean, error = _mean_and_error(values)
    if error is None:
        return Interval(mean, None, None)
    reach = error * t_quantile(0.5 + 0.5 * confidence, len(values) - 1) if error else 0.0
    return Interval(mean, mean - reach, mean + reach)


def paired_p_value(gains: Sequence[float]) -> float | None:
    """Two-sided p of the paired t test that the mean of the paired differences is zero.

    None with fewer than two differences. Equal differences (scores are multiples of one over the
    test set's size) say nothing of their variance: then it is that of the sign test, ``2^(1 - n)``,
    and 1 where all are 0.
    """
    if len(gains) < 2:
        return None
    mean, error = _mean_and_error(gains)
    if not error:
        return sign_p_value(len(gains)) if mean else 1.0
    return 2.0 * t_cdf(-abs(mean / error), len(gains) - 1)


def sign_p_value(n: int) -> float:
    """Two-sided p of ``n`` differences of one sign."""
    return math.ldexp(1.0, 1 - n)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p values adjusted for their number (Holm 1979); a None is no test and counts for none."""
    tests = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, i) in enumerate(tests):
        largest = max(largest, min(1.0, p * (len(tests) - rank)))
        adjusted[i] = largest
    return adjusted


def deviation(values: Sequence[float]) -> float | None:
    """The standard deviation of a sample; None with fewer than two values."""
    _, error = _mean_and_error(values)
    return None if error is None else error * math.sqrt(len(values))


def _mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard error of the mean (None with fewer than two values)."""
    n = len(values)
    if n == 0:
        raise ValueError("a mean needs at least one value")
    if min(values) == max(values):  # exactly, which the rounded mean of equal values need not be
        return values[0], 0.0 if n > 1 else None
    mean = math.fsum(values) / n
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1) / n)


def _incomplete_beta(a: float, b: float, x: float, complement: float) -> float:
    """I_x(a, b). ``complement`` is 1 - x, given apart since the difference would lose digits."""
    if x <= 0.0 or complement <= 0.0:
        return 0.0 if x <= 0.0 else 1.0
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    front = math.exp(a * math.log(x) + b * math.log(complement) - log_beta)
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _continued_fraction(a, b, x) / a
    return 1.0 - front * _continued_fraction(b, a, complement) / b


def _continued_fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function (26.5.8), by modified Lentz."""
    tiny = 1e-300
    c, d = 1.0, 1.0 / ((1.0 - (a + b) * x / (a + 1.0)) or tiny)
    result = d
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / ((1.0 + term * d) or tiny)
            c = (1.0 + term / c) or tiny
            result *= c * d
        if abs(c * d - 1.0) < 1e-16:
            break
    return result
