"""Logistic regression; of numbers, ridge regression."""

from __future__ import annotations

from functools import partial

import numpy as np
from sklearn.linear_model import LogisticRegression

from aetl.head.base import Estimator, Head, Model, Scale, State, Strength
from aetl.head.classifier import Classifier, PerLabel
from aetl.head.fitted import below, joined, put_back, state_of
from aetl.head.ridge import RidgeRegression
from aetl.ranges import Folds
from aetl.types import Kind

STRENGTHS = (1000.0, 100.0, 10.0, 1.0, 0.1, 0.01)


class Logistic(Head):
    """Multinomial, with the penalty ``strength / 2 |W|^2`` beside the sum over the examples.

    ``auto`` chooses the strength from 0.01 to 1000. With ``task=regression`` it is
    ``head=ridge``, the same penalty beside the squared error.
    """

    def __init__(self, *, scale: Scale, balanced: bool, folds: Folds, strength: Strength) -> None:
        super().__init__(scale=scale, balanced=balanced, folds=folds)
        self.strength: Strength = strength

    def models(self, kind: Kind) -> list[Model]:
        strengths = STRENGTHS if self.strength == "auto" else (self.strength,)
        return [logistic(kind, float(strength)) for strength in strengths]


def logistic(kind: Kind, l2: float) -> Model:
    one = partial(LogisticRegressor, l2)
    if kind == "regression":
        return Model({"strength": l2}, lambda: RidgeRegression(l2))
    return Model({"strength": l2}, one if kind == "classification" else lambda: PerLabel(one))


class LogisticRegressor(Classifier):
    """scikit-learn's, by L-BFGS."""

    def __init__(self, l2: float) -> None:
        self.model = LogisticRegression(C=1.0 / l2, max_iter=2000, warm_start=True)

    def learn(
        self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, near: Estimator | None
    ) -> None:
        if isinstance(near, LogisticRegressor) and len(near.classes_) > 1:
            self.model.coef_, self.model.intercept_ = near.model.coef_, near.model.intercept_
        self.model.fit(x, y, sample_weight=weight)

    def probability(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.model.predict_proba(x))

    def linear(self) -> tuple[np.ndarray, np.ndarray]:
        return self.model.coef_, self.model.intercept_

    def learnt(self) -> dict[str, np.ndarray]:
        return joined({"model": state_of(self.model)})

    def recall(self, state: State) -> None:
        put_back(self.model, below("model", state))
