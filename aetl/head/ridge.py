"""Ridge regression (Hoerl and Kennard, Technometrics 12, 1970); of classes, on their indicators."""

from __future__ import annotations

from functools import partial

import numpy as np
from sklearn.linear_model import Ridge as SkRidge
from torch import nn

from aetl.head.base import Estimator, Head, Model, Scale, State, Strength
from aetl.head.classifier import Classifier, PerLabel, softmax
from aetl.head.fitted import below, joined, put_back, state_of
from aetl.head.graph import Linear
from aetl.ranges import Folds
from aetl.types import Kind

STRENGTHS = (1000.0, 100.0, 10.0, 1.0, 0.1, 0.01)


class Ridge(Head):
    """Least squares with ``strength |W|^2`` beside the sum of squares.

    A classifier regresses 1 for the class and -1 for the others; its probabilities are the softmax
    of that, not calibrated.
    """

    def __init__(self, *, scale: Scale, balanced: bool, folds: Folds, strength: Strength) -> None:
        super().__init__(scale=scale, balanced=balanced, folds=folds)
        self.strength: Strength = strength

    def models(self, kind: Kind) -> list[Model]:
        strengths = STRENGTHS if self.strength == "auto" else (self.strength,)
        return [_ridge(kind, float(strength)) for strength in strengths]


def _ridge(kind: Kind, l2: float) -> Model:
    one = partial(RidgeClassifier, l2)
    if kind == "regression":
        return Model({"strength": l2}, lambda: RidgeRegression(l2))
    return Model({"strength": l2}, one if kind == "classification" else lambda: PerLabel(one))


class RidgeRegression(Estimator):
    """One number for each example."""

    def __init__(self, l2: float) -> None:
        self.model = SkRidge(alpha=l2)

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> RidgeRegression:
        self.model.fit(x, y, sample_weight=weight)
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.model.predict(x))

    def graph(self, output_dim: int) -> nn.Module:
        return Linear(self.model.coef_, np.asarray(self.model.intercept_))

    def state(self) -> dict[str, np.ndarray]:
        return joined({"model": state_of(self.model)})

    def load_state(self, state: State) -> RidgeRegression:
        put_back(self.model, below("model", state))
        return self


class RidgeClassifier(Classifier):
    """One regression for each class, which share the solution of one system."""

    def __init__(self, l2: float) -> None:
        self.model = SkRidge(alpha=l2)

    def learn(
        self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, near: Estimator | None
    ) -> None:
        self.model.fit(x, 2.0 * (y[:, None] == self.classes_) - 1.0, sample_weight=weight)

    def probability(self, x: np.ndarray) -> np.ndarray:
        return softmax(np.asarray(self.model.predict(x)))

    def linear(self) -> tuple[np.ndarray, np.ndarray]:
        return self.model.coef_, self.model.intercept_

    def learnt(self) -> dict[str, np.ndarray]:
        return joined({"model": state_of(self.model)})

    def recall(self, state: State) -> None:
        put_back(self.model, below("model", state))
