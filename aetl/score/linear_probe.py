"""A cross-validated linear probe on the labelled target examples."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from aetl.ranges import Folds, NonNegative
from aetl.score.base import Evidence, Kind, Score, agreement, dealt


class LinearProbe(Score):
    """Accuracy of logistic regression, or R^2 of ridge regression, on the examples held out.

    Features are standardised on each training part; ``l2`` is the strength of the penalty.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"classification", "regression"})

    def __init__(self, *, folds: Folds, l2: NonNegative) -> None:
        self.folds, self.l2 = folds, l2

    def __call__(self, evidence: Evidence) -> float:
        x, y = evidence.features, evidence.y
        fold, predicted = dealt(y, self.folds), np.empty_like(y)
        for number in np.unique(fold):
            out = fold == number
            predicted[out] = self._fitted(x[~out], y[~out]).predict(x[out])
        return agreement(predicted, y)

    def _fitted(self, x: np.ndarray, y: np.ndarray) -> Any:
        if np.issubdtype(y.dtype, np.floating):
            return make_pipeline(StandardScaler(), Ridge(self.l2)).fit(x, y)
        if len(np.unique(y)) == 1:
            return DummyClassifier(strategy="most_frequent").fit(x, y)
        logistic = LogisticRegression(C=1.0 / self.l2, max_iter=1000)
        return make_pipeline(StandardScaler(), logistic).fit(x, y)
