"""Source examples weighted by the density ratio that a domain classifier estimates.

Bickel, Brueckner and Scheffer (ICML 2007, equation 14): a probabilistic classifier between
target (1) and source (0) gives ``p_T(z) / p_S(z) = n_S / n_T * p(1|z) / p(0|z)``.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

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
        found = density_ratio(torch.from_numpy(source), torch.from_numpy(target), self.l2)
        return np.asarray(found.double().numpy())


def density_ratio(
    source: Float[Tensor, "N F"], target: Float[Tensor, "M F"], l2: float
) -> Float[Tensor, " N"]:
    """``p_target / p_source`` at the source points, by logistic regression.

    Solved to the end: at scikit-learn's tolerance weights differ by a part in 300 between kinds of
    processors.
    """
    x = torch.cat([source, target]).double().numpy()
    domain = torch.cat([torch.zeros(len(source)), torch.ones(len(target))]).numpy()
    logistic = LogisticRegression(C=1.0 / l2, max_iter=10_000, tol=1e-9)
    model = make_pipeline(StandardScaler(), logistic)
    log_odds = torch.from_numpy(model.fit(x, domain).decision_function(x[: len(source)]))
    return (log_odds.exp() * (len(source) / len(target))).float()
