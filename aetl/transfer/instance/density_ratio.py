"""Source examples weighted by the density ratio that a domain classifier estimates.

Bickel, Brueckner and Scheffer (ICML 2007, equation 14): a probabilistic classifier between
target (1) and source (0) gives ``p_T(z) / p_S(z) = n_S / n_T * p(1|z) / p(0|z)``.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from aetl.ranges import Fraction, Positive
from aetl.rng import Rng
from aetl.transfer.instance.base import ImportanceWeights, Space


class DensityRatio(ImportanceWeights):
    """By logistic regression with a penalty of strength ``l2`` on standardised features."""

    def __init__(self, *, space: Space, clip: Positive, mix: Fraction, l2: Positive) -> None:
        super().__init__(space=space, clip=clip, mix=mix)
        self.l2 = l2

    def ratio(
        self, source: Float[np.ndarray, "N F"], target: Float[np.ndarray, "M F"], rng: Rng
    ) -> Float[np.ndarray, " N"]:
        return density_ratio(source, source, target, l2=self.l2)


def density_ratio(
    points: Float[np.ndarray, "P F"], source: Float[np.ndarray, "N F"],
    target: Float[np.ndarray, "M F"], *, l2: float,
) -> Float[np.ndarray, " P"]:  # fmt: skip
    """``p_target / p_source`` at ``points``: ``N / M`` times the odds of a domain classifier.

    A logistic regression on standardised features, in float64 and solved to the end: stopped at
    scikit-learn's own tolerance it has made errors of a factor in ratios of far domains, and other
    ones on other kinds of processors.
    """
    x = np.concatenate([source, target]).astype(np.float64)
    domain = np.repeat([0, 1], [len(source), len(target)])
    logistic = LogisticRegression(C=1.0 / l2, max_iter=10_000, tol=1e-9)
    model = make_pipeline(StandardScaler(), logistic).fit(x, domain)
    odds = np.exp(model.decision_function(points.astype(np.float64)))
    return np.asarray(odds * (len(source) / len(target)))
