"""The Fréchet distance of samples (Heusel et al., 2017, arXiv:1706.08500, equation 6)."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from aetl.metric.base import Metric
from aetl.task.base import Kind
from aetl.task.density import DRAWN, FEATURES
from aetl.types import Prediction


class FrechetDistance(Metric):
    """``|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2))`` with the means and covariances (over n - 1) of
    the features of the test examples and of as many draws from the model's prior.

    Whose features says ``task.encoder``: published values are of Inception's, so compare with
    values of the same encoder alone. Few examples make it larger (Chong and Forsyth, 2020,
    arXiv:1911.07023), for arm and twin alike.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"density"})
    higher_is_better: ClassVar[bool] = False
    part: ClassVar[str | None] = DRAWN
    most_units: ClassVar[int] = 50

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        return frechet_distance(prediction.parts[FEATURES], prediction.parts[DRAWN])

    def without(
        self, prediction: Prediction, y: np.ndarray, unit: Int[np.ndarray, " N"], units: int
    ) -> Float[np.ndarray, " U"]:
        features = [prediction.parts[name] for name in (FEATURES, DRAWN)]
        centre = features[0].mean(0)  # sums of squares far from zero would cancel
        sets = [np.asarray(x - centre, np.float64) for x in features]
        whole = [_sums(x) for x in sets]
        found = []
        for u in range(units):
            rows = unit == u
            left = [_less(total, _sums(x[rows])) for total, x in zip(whole, sets, strict=True)]
            found.append(_distance(*(_moments(sums) for sums in left)))
        return np.array(found)


class _Sums(NamedTuple):
    number: int
    first: Float[np.ndarray, " F"]
    second: Float[np.ndarray, "F F"]


Moments = tuple[Float[np.ndarray, " F"], Float[np.ndarray, "F F"]]


def frechet_distance(x: Float[np.ndarray, "N F"], other: Float[np.ndarray, "M F"]) -> float:
    """Of two sets of features, in float64; NaN of fewer than two examples."""
    centre = np.asarray(x, np.float64).mean(0)
    return _distance(*(_moments(_sums(np.asarray(part - centre))) for part in (x, other)))


def _sums(x: Float[np.ndarray, "n F"]) -> _Sums:
    return _Sums(len(x), x.sum(0), x.T @ x)


def _less(whole: _Sums, part: _Sums) -> _Sums:
    return _Sums(whole.number - part.number, whole.first - part.first, whole.second - part.second)


def _moments(sums: _Sums) -> Moments:
    """Mean and covariance."""
    n = sums.number
    if n < 2:
        return np.full_like(sums.first, np.nan), np.full_like(sums.second, np.nan)
    mean = sums.first / n
    return mean, (sums.second - n * np.outer(mean, mean)) / (n - 1)


def _distance(one: Moments, other: Moments) -> float:
    (mean, cov), (mean_, cov_) = one, other
    if not np.isfinite(cov).all() or not np.isfinite(cov_).all():
        return float("nan")
    # The trace of (C C')^(1/2) is that of the symmetric (C^(1/2) C' C^(1/2))^(1/2).
    values, vectors = np.linalg.eigh(cov)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    product = np.sqrt(np.linalg.eigvalsh(root @ cov_ @ root).clip(0)).sum()
    apart = float(np.square(mean - mean_).sum())
    return apart + float(np.trace(cov) + np.trace(cov_) - 2 * product)
