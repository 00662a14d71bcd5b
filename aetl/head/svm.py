"""Support vector machines (Cortes and Vapnik, Machine Learning 20, 1995)."""

from __future__ import annotations

from functools import partial
from typing import Literal

import numpy as np
from sklearn.svm import SVC, SVR

from aetl.head.base import Estimator, Head, Model, Scale, State, Strength
from aetl.head.classifier import Classifier, PerLabel, both_sides, softmax
from aetl.head.fitted import below, joined, put_back, state_of
from aetl.ranges import Folds
from aetl.types import Kind

Kernel = Literal["linear", "rbf"]
LINEAR = tuple(10.0**k for k in range(5, -1, -1))
RBF = (10.0, 1.0, 0.1, 0.01)


class Svm(Head):
    """``strength`` is the inverse of the price C of a violated margin, as of other heads.

    ``auto`` chooses from 1 to 100 000 with a linear kernel (the margins of bags of words are wide),
    from 0.01 to 10 with ``rbf``, whose width is that of scikit-learn (``gamma: scale``).
    Probabilities are the softmax of the decision values, one class against the rest; they are not
    calibrated. Of numbers it is the epsilon-insensitive regression of standardised ones.
    """

    def __init__(
        self, *, scale: Scale, balanced: bool, folds: Folds, strength: Strength, kernel: Kernel
    ) -> None:
        super().__init__(scale=scale, balanced=balanced, folds=folds)
        self.strength: Strength = strength
        self.kernel: Kernel = kernel

    def models(self, kind: Kind) -> list[Model]:
        open_ = LINEAR if self.kernel == "linear" else RBF
        strengths = open_ if self.strength == "auto" else (self.strength,)
        return [_svm(kind, float(strength), self.kernel) for strength in strengths]


def _svm(kind: Kind, strength: float, kernel: Kernel) -> Model:
    one = partial(Linear if kernel == "linear" else Rbf, 1 / strength)
    settings = {"strength": strength, "kernel": kernel}
    if kind == "regression":
        return Model(settings, lambda: SupportVectorRegression(1 / strength, kernel))
    return Model(settings, one if kind == "classification" else lambda: PerLabel(one))


class Linear(Classifier):
    """As one matrix. Fitted on inner products: with many features that is many times faster."""

    def __init__(self, c: float) -> None:
        self.c = c

    def learn(
        self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, near: Estimator | None
    ) -> None:
        # libsvm decides between pairs of classes; one against the rest is one matrix too.
        gram = x @ x.T
        sides = self.classes_[1:] if len(self.classes_) == 2 else self.classes_
        rows, offsets = [], []
        for side in sides:
            machine = SVC(C=self.c, kernel="precomputed").fit(gram, y == side, weight)
            rows.append((machine.dual_coef_ @ x[machine.support_])[0])
            offsets.append(machine.intercept_[0])
        self.matrix, self.offset = np.stack(rows), np.array(offsets)

    def probability(self, x: np.ndarray) -> np.ndarray:
        decision = x @ self.matrix.T + self.offset
        return softmax(both_sides(decision[:, 0] if decision.shape[1] == 1 else decision))

    def linear(self) -> tuple[np.ndarray, np.ndarray]:
        return self.matrix, self.offset

    def learnt(self) -> dict[str, np.ndarray]:
        return {"matrix": self.matrix, "offset": self.offset}

    def recall(self, state: State) -> None:
        self.matrix, self.offset = state["matrix"], state["offset"]


class Rbf(Classifier):
    """scikit-learn's, which decides between pairs of classes."""

    def __init__(self, c: float) -> None:
        self.model = SVC(C=c, kernel="rbf")

    def learn(
        self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, near: Estimator | None
    ) -> None:
        self.model.fit(x, y, sample_weight=weight)

    def probability(self, x: np.ndarray) -> np.ndarray:
        return softmax(both_sides(np.asarray(self.model.decision_function(x))))

    def learnt(self) -> dict[str, np.ndarray]:
        return joined({"model": state_of(self.model)})

    def recall(self, state: State) -> None:
        put_back(self.model, below("model", state))


class SupportVectorRegression(Estimator):
    """Epsilon-insensitive, on standardised targets."""

    def __init__(self, c: float, kernel: Kernel) -> None:
        self.model = SVR(C=c, kernel=kernel)

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> SupportVectorRegression:
        known = weight > 0
        x, y, weight = x[known], y[known], weight[known]
        self.mean, self.spread = float(y.mean()), float(y.std()) or 1.0
        self.model.fit(x, (y - self.mean) / self.spread, sample_weight=weight)
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.model.predict(x) * self.spread + self.mean)

    def state(self) -> dict[str, np.ndarray]:
        units = {"mean": np.array(self.mean), "spread": np.array(self.spread)}
        return units | joined({"model": state_of(self.model)})

    def load_state(self, state: State) -> SupportVectorRegression:
        self.mean, self.spread = float(state["mean"]), float(state["spread"])
        put_back(self.model, below("model", state))
        return self
