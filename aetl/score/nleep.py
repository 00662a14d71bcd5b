"""NLEEP, LEEP on a Gaussian mixture of the features (Li et al., CVPR 2021, arXiv:2011.11200)."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from aetl.ranges import Share, Size
from aetl.score.base import Evidence, Score, coordinates


class NLEEP(Score):
    """The mean log-likelihood of the classes (nats) given the components of a Gaussian mixture.

    On the principal coordinates that hold ``energy`` of the variance, ``components`` for each class
    (at most half the examples), diagonal covariances.
    """

    def __init__(self, *, energy: Share, components: Size) -> None:
        self.energy, self.components = energy, components

    def __call__(self, evidence: Evidence) -> float:
        x, y = coordinates(evidence.features), evidence.y
        held = np.cumsum(x.var(0))
        kept = int(np.searchsorted(held, self.energy * held[-1])) + 1  # past the end cuts nothing
        number = min(self.components * len(np.unique(y)), max(1, len(x) // 2))
        floor = 1e-3 * float(x[:, :kept].var(0).mean()) or 1.0
        mixture = GaussianMixture(number, covariance_type="diag", reg_covar=floor, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it is a score all the same
            return leep(mixture.fit(x[:, :kept]).predict_proba(x[:, :kept]), y)


def leep(posterior: Float[np.ndarray, "N C"], y: Int[np.ndarray, " N"]) -> float:
    """``mean_n log sum_c p(y_n | c) p(c | x_n)`` (Nguyen et al. 2020, equation 2)."""
    labels, row = np.unique(y, return_inverse=True)
    joint = np.stack([posterior[row == k].sum(0) for k in range(len(labels))]) / len(y)
    marginal = joint.sum(0)
    given = joint / np.where(marginal > 0, marginal, 1.0)
    return float(np.log((given[row] * posterior).sum(1)).mean())
