"""Separated attribute predictability (Kumar, Sattigeri and Balakrishnan, 2018, 1711.00848)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from aetl.score.factors import FactorScore, gap


class SAP(FactorScore):
    """The lead of the code that foretells a factor best over the second, mean over the factors.

    By R^2 of a straight line; of the factors called ``categories`` by the balanced accuracy of a
    linear support vector machine on the code alone.
    """

    def __init__(self, *, categories: Sequence[str]) -> None:
        self.categories = tuple(categories)

    def of(
        self, codes: Float[np.ndarray, "N Z"], factors: Int[np.ndarray, "N K"],
        names: tuple[str, ...],
    ) -> float:  # fmt: skip
        scores = np.zeros((codes.shape[1], factors.shape[1]))
        for k, name in enumerate(names):
            for j in np.flatnonzero(np.ptp(codes, 0) > 0):
                if name in self.categories:
                    scores[j, k] = _accuracy(codes[:, [j]], factors[:, k])
                else:
                    scores[j, k] = np.corrcoef(codes[:, j], factors[:, k])[0, 1] ** 2
        return gap(scores)


def _accuracy(code: Float[np.ndarray, "N 1"], y: Int[np.ndarray, " N"]) -> float:
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.svm import LinearSVC

    scaled = (code - code.mean()) / code.std()
    machine = LinearSVC(C=0.01, class_weight="balanced", random_state=0).fit(scaled, y)
    return float(balanced_accuracy_score(y, machine.predict(scaled)))
