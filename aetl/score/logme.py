"""LogME, the logarithm of maximum evidence (You, Liu, Wang and Long, ICML 2021, 2102.11005)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize_scalar

from aetl.score.base import Evidence, Kind, Score, principal


class LogME(Score):
    """``max log p(y | F, alpha, beta) / N`` in nats, for classes the mean over one-against-rest.

    The evidence of Bayesian linear regression with prior precision ``alpha`` of the weights and
    noise precision ``beta`` (equation 2), without an intercept. The paper's fixed point finds its
    maximum; here ``beta`` has its closed form at each ratio ``alpha / beta``, so that one bounded
    search over the ratio is left.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"classification", "regression"})

    def __call__(self, evidence: Evidence) -> float:
        left, values = principal(evidence.features)
        y = evidence.y
        columns = (
            [y.astype(float)]
            if np.issubdtype(y.dtype, np.floating)
            else [(y == label).astype(float) for label in np.unique(y)]
        )
        return float(np.mean([max_evidence(left, values, column) / len(y) for column in columns]))


def max_evidence(
    left: Float[np.ndarray, "N R"], values: Float[np.ndarray, " R"], y: Float[np.ndarray, " N"]
) -> float:
    """The maximum of the log evidence (nats), from the singular vectors and squared values of F.

    ``y ~ N(0, (I + F F' / ratio) / beta)``; the residual is held above the rounding of ``y``.
    """
    n, shared = len(y), np.square(left.T @ y)
    rest = max(float(y @ y - shared.sum()), 1e-12 * float(y @ y))
    largest = np.log(values[0]) if len(values) else 0.0

    evidence = partial(_evidence, n, values, shared, rest)
    grid = largest + np.linspace(-28.0, 14.0, 169)
    best = int(evidence(grid).argmax())
    around = grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)]
    found = minimize_scalar(lambda t: -float(evidence(t)), bounds=around, method="bounded")
    return max(-float(found.fun), float(evidence(grid[best])))


def _evidence(
    n: int, values: np.ndarray, shared: np.ndarray, rest: float, log_ratio: np.ndarray | float
) -> np.ndarray:
    growth = 1.0 + values / np.exp(np.asarray(log_ratio))[..., None]
    residual = rest + (shared / growth).sum(-1)
    fit = n * (1.0 + np.log(2 * np.pi * residual / n))
    return np.asarray(-0.5 * (fit + np.log(growth).sum(-1)))
