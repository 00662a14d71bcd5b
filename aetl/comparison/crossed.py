"""A gain's interval over seeds and test examples, which both are samples.

The two-way random effects layout without replication: ``d[s, i]`` is what the arm gains over its
twin with seed ``s`` on example ``i`` (or on a group of examples, or a pseudo-value of the jackknife
where the metric is no mean). It is the analysis of radiology's multi-reader multi-case studies:
Dorfman, Berbaum and Metz (1992, Invest. Radiol. 27), with the degrees of freedom of Hillis (2007,
Stat. Med. 26, equation 17):

    var(mean) = (MS_S + max(MS_I - MS_E, 0)) / (S n)
    df        = (MS_S + max(MS_I - MS_E, 0))^2 / (MS_S^2 / (S - 1))

Two departures. ``MS_S`` is not taken below ``MS_E``, since a component of variance is not negative:
without it three seeds call too many differences that are not there. And ``df`` is at most ``n - 1``
(of seeds that all agree it would be infinite, whatever few examples there are).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aetl.comparison.statistics import CONFIDENCE, Interval, sign_p_value, t_cdf, t_quantile

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Crossed:
    """Seeds x units: the mean and the variances of the seeds, the units and the rest.

    ``of_seeds``, ``of_units`` and ``of_rest`` are components of variance of a single ``d[s, i]``,
    in squared units of the metric.
    """

    mean: float
    seeds: int
    units: int
    of_seeds: float
    of_units: float
    of_rest: float

    def error(self, seeds: int | None = None, units: int | None = None) -> tuple[float, float]:
        """The mean's standard error and its degrees of freedom; foretold for other numbers."""
        S, n = seeds or self.seeds, units or self.units
        ms_seeds, excess = n * self.of_seeds + self.of_rest, S * self.of_units
        variance = (ms_seeds + excess) / (S * n)
        if ms_seeds == 0.0:
            return math.sqrt(variance), n - 1.0
        df = (S - 1) * ((ms_seeds + excess) / ms_seeds) ** 2
        return math.sqrt(variance), min(df, max(n - 1.0, S - 1.0))

    def interval(self, mean: float | None = None, confidence: float = CONFIDENCE) -> Interval:
        """About the mean of the scores' differences, from which that of pseudo-values may differ
        by the jackknife's bias."""
        mean = self.mean if mean is None else mean
        error, df = self.error()
        reach = error * t_quantile(0.5 + 0.5 * confidence, df) if error else 0.0
        return Interval(mean, mean - reach, mean + reach)

    def p_value(self, mean: float | None = None) -> float:
        """Two-sided, that the mean is zero. Where nothing varies at all: of the sign test over the
        examples, and 1 where all differences are 0."""
        mean = self.mean if mean is None else mean
        error, df = self.error()
        if error == 0.0:
            return sign_p_value(self.units) if mean else 1.0
        return 2.0 * t_cdf(-abs(mean) / error, df)

    @property
    def seed_deviation(self) -> float:
        """The standard deviation of the gains over seeds on this test set."""
        return math.sqrt(self.of_seeds + self.of_rest / self.units)

    @property
    def least_error(self) -> float:
        """The standard error that the test examples leave, however many seeds there are."""
        return math.sqrt(self.of_units / self.units)


def crossed(differences: np.ndarray[Any, Any]) -> Crossed:
    """The components of ``d`` [seeds, units], at least two of each."""
    components = crossed_components(differences[None])
    return Crossed(
        float(components["mean"][0]),
        *differences.shape,
        *(float(components[name][0]) for name in ("of_seeds", "of_units", "of_rest")),
    )


def crossed_components(differences: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The same of many layouts at once: ``d`` [layouts, seeds, units]."""
    import numpy as np

    _, S, n = differences.shape
    by_seed = differences.mean(2, dtype=np.float64)
    by_unit = differences.mean(1, dtype=np.float64)
    mean = by_seed.mean(1)
    ms_seeds = n * ((by_seed - mean[:, None]) ** 2).sum(1) / (S - 1)
    ms_units = S * ((by_unit - mean[:, None]) ** 2).sum(1) / (n - 1)
    total = np.einsum("lsi,lsi->l", differences, differences, dtype=np.float64) - S * n * mean**2
    rest = total - (S - 1) * ms_seeds - (n - 1) * ms_units
    # Of a layout that seeds and units explain, rounding leaves a rest of either sign.
    rest = np.where(rest > 1e-9 * np.abs(total), rest, 0.0) / ((S - 1) * (n - 1))
    return {
        "mean": mean,
        "of_seeds": np.maximum(ms_seeds - rest, 0.0) / n,
        "of_units": np.maximum(ms_units - rest, 0.0) / S,
        "of_rest": rest,
    }
