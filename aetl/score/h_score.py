"""H-score with shrunk covariance (Ibrahim, Ponomareva and Mazumder, ECML 2022, 2110.06893)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from aetl.score.base import Evidence, Score, centred, principal


class HScore(Score):
    """``(1 - a) tr(S_a^-1 S_between)`` with the Ledoit-Wolf covariance ``S_a`` of the features.

    ``S_between`` is the covariance of the class means. Bounded by the number of classes less one
    where nothing is shrunk. The features' own axes are never needed, so that ten thousand features
    cost no more than the examples do.
    """

    def __call__(self, evidence: Evidence) -> float:
        x, y = centred(evidence.features), evidence.y
        left, values = principal(x)
        shrinkage, level = ledoit_wolf(x, values)
        variances = (1.0 - shrinkage) * values / len(x) + shrinkage * level
        means = (
            np.sqrt(np.mean(y == label)) * (left[y == label] * np.sqrt(values)).mean(0)
            for label in np.unique(y)
        )
        return float((1.0 - shrinkage) * sum((np.square(mean) / variances).sum() for mean in means))


def ledoit_wolf(
    x: Float[np.ndarray, "N F"], values: Float[np.ndarray, " R"]
) -> tuple[float, float]:
    """The shrinkage towards ``level`` times the identity (Ledoit and Wolf 2004, section 3.3).

    ``x`` is centred, ``values`` are its squared singular values.
    """
    n, dim = x.shape
    level = float(values.sum()) / n / dim
    square = float(np.square(values / n).sum())
    spread = square / dim - level**2
    fourth = float(np.square(np.square(x).sum(1)).mean())
    error = (fourth - square) / n / dim
    shrinkable = dim > 1 and spread > 0  # a single feature is its own mean variance
    return (min(error, spread) / spread if shrinkable else 0.0), level
