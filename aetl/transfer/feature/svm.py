"""A support vector machine on frozen features (Cortes and Vapnik, Machine Learning 20, 1995)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from aetl.ranges import Positive
from aetl.task.base import Task
from aetl.task.fitted import below, joined, put_back, state_of
from aetl.task.multilabel import PerLabel
from aetl.transfer.base import TransferStrategy

Kernel = Literal["linear", "rbf"]


class Svm(TransferStrategy):
    """On standardised features; ``c`` is the price of a violated margin."""

    def __init__(self, *, c: Positive, kernel: Kernel) -> None:
        self.c, self.kernel = c, kernel

    def head(self, task: Task) -> Any:
        if task.kind == "regression":
            return SupportVectorRegression(self.c, self.kernel)
        if task.kind == "multilabel":
            return PerLabel(lambda: SupportVectorClassifier(self.c, self.kernel))
        return SupportVectorClassifier(self.c, self.kernel)


class SupportVectorClassifier:
    """Its probabilities are the softmax of the one-against-rest decision values: not calibrated."""

    def __init__(self, c: float, kernel: Kernel) -> None:
        self.model = make_pipeline(StandardScaler(), SVC(C=c, kernel=kernel))

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> SupportVectorClassifier:
        known = weight > 0  # the solver refuses a class of no weight at all
        x, y, weight = x[known], y[known], weight[known]
        self.classes_ = np.unique(y)
        if len(self.classes_) > 1:
            self.model.fit(x, y, svc__sample_weight=weight)
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        if len(self.classes_) == 1:
            return np.ones((len(x), 1))
        decision = np.asarray(self.model.decision_function(x))
        if decision.ndim == 1:
            decision = np.stack([-decision / 2, decision / 2], 1)
        exponent = np.exp(decision - decision.max(1, keepdims=True))
        return np.asarray(exponent / exponent.sum(1, keepdims=True))

    def state(self) -> dict[str, np.ndarray]:
        return {"classes": self.classes_} | joined({"model": state_of(self.model)})

    def load_state(self, state: Mapping[str, np.ndarray]) -> SupportVectorClassifier:
        self.classes_ = state["classes"]
        put_back(self.model, below("model", state))
        return self


class SupportVectorRegression:
    """Epsilon-insensitive regression on standardised features and targets."""

    def __init__(self, c: float, kernel: Kernel) -> None:
        self.model = make_pipeline(StandardScaler(), SVR(C=c, kernel=kernel))

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> SupportVectorRegression:
        self.mean, self.spread = float(y.mean()), float(y.std()) or 1.0
        self.model.fit(x, (y - self.mean) / self.spread, svr__sample_weight=weight)
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.model.predict(x) * self.spread + self.mean)

    def state(self) -> dict[str, np.ndarray]:
        units = {"mean": np.array(self.mean), "spread": np.array(self.spread)}
        return units | joined({"model": state_of(self.model)})

    def load_state(self, state: Mapping[str, np.ndarray]) -> SupportVectorRegression:
        self.mean, self.spread = float(state["mean"]), float(state["spread"])
        put_back(self.model, below("model", state))
        return self
