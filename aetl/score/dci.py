"""Disentanglement and completeness (Eastwood and Williams, ICLR 2018, section 3)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from aetl.ranges import Count, Seed
from aetl.score.factors import FactorScore


class DCI(FactorScore):
    """How far each code stands for one factor (``disentanglement``), or each factor for one code.

    From the importance of each code for a random forest that foretells the factor: 1 minus the
    entropy of its shares (in units of the largest one), weighted by how much the code, or the
    factor, counts in all. Every split may take any code: a forest that is shown some of them alone
    calls codes important that are not. ``informativeness`` is its mean accuracy, out of bag.
    """

    def __init__(
        self, *, part: Literal["disentanglement", "completeness", "informativeness"],
        trees: Count, seed: Seed,
    ) -> None:  # fmt: skip
        self.part, self.trees, self.seed = part, trees, seed

    def of(
        self, codes: Float[np.ndarray, "N Z"], factors: Int[np.ndarray, "N K"],
        names: tuple[str, ...],
    ) -> float:  # fmt: skip
        from sklearn.ensemble import RandomForestClassifier

        importance, right = [], []
        for factor in factors.T:
            forest = RandomForestClassifier(
                self.trees, max_depth=10, max_features=None, random_state=self.seed,
                oob_score=self.part == "informativeness",
            ).fit(codes, factor)  # fmt: skip
            importance.append(forest.feature_importances_)
            right.append(getattr(forest, "oob_score_", 0.0))
        if self.part == "informativeness":
            return float(np.mean(right))
        shares = np.stack(importance, 1)  # codes x factors
        return purity(shares if self.part == "disentanglement" else shares.T)


def purity(importance: Float[np.ndarray, "A B"]) -> float:
    """``sum_a w_a (1 - H_B(p_a))`` with ``w_a`` the share of row ``a`` in everything."""
    total = importance.sum(1)
    if not total.sum() > 0 or importance.shape[1] < 2:
        return 0.0
    shares = importance / np.where(total > 0, total, 1.0)[:, None]
    logs = np.log(np.where(shares > 0, shares, 1.0)) / np.log(importance.shape[1])
    return float((total / total.sum() * (1.0 + (shares * logs).sum(1))).sum())
