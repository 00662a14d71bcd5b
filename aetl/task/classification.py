"""Single-label classification by cross-entropy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from aetl.data.base import Examples
from aetl.task.base import Kind, Task, numpy
from aetl.task.fitted import below, joined, put_back, state_of
from aetl.task.graph import Constant, Linear, Probabilities
from aetl.types import DoesNotFit, Prediction


class ConstantOrLogistic:
    """Logistic regression that also answers where the few labels at hand are all of one class."""

    def __init__(self, l2: float) -> None:
        self.l2 = l2

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> ConstantOrLogistic:
        self.classes_ = np.unique(y)
        self._build()
        if len(self.classes_) == 1:
            self.model.fit(x, y)
        else:
            self.model.fit(x, y, logisticregression__sample_weight=weight)
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.model.predict_proba(x))

    def state(self) -> dict[str, np.ndarray]:
        return {"classes": self.classes_} | joined({"model": state_of(self.model)})

    def load_state(self, state: Mapping[str, np.ndarray]) -> ConstantOrLogistic:
        self.classes_ = state["classes"]
        self._build()
        put_back(self.model, below("model", state))
        return self

    def graph(self, output_dim: int) -> nn.Module:
        """The same as a module of features in float64."""
        if len(self.classes_) == 1:
            return Constant(int(self.classes_[0]), output_dim)
        scaler, logistic = (step for _, step in self.model.steps)
        linear = Linear(scaler, logistic.coef_, logistic.intercept_)
        return Probabilities(linear, self.classes_, output_dim)

    def _build(self) -> None:
        if len(self.classes_) == 1:
            self.model: Any = DummyClassifier(strategy="most_frequent")
        else:
            logistic = LogisticRegression(C=1.0 / self.l2, max_iter=2000)
            self.model = make_pipeline(StandardScaler(), logistic)


class Classification(Task):
    """One of K classes for each example."""

    kind: ClassVar[Kind] = "classification"

    def targets(self, examples: Examples) -> Tensor:
        if examples.y.dim() == 2:
            raise DoesNotFit(
                "task=classification: this data has several labels for an example, "
                "use task=multilabel"
            )
        if not examples.classes:
            raise DoesNotFit(
                "task=classification: this data has real-valued targets, use task=regression"
            )
        return examples.y

    def output_dim(self, examples: Examples) -> int:
        return len(examples.classes)

    def scale(self, y: Tensor) -> tuple[float, float]:
        return 0.0, 1.0

    def loss(self, output: Float[Tensor, "B K"], y: Tensor, scale: float) -> Float[Tensor, " B"]:
        return cross_entropy(output, y, reduction="none")

    def expected(self, output: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        return output.softmax(1)

    def predict(self, output: Float[Tensor, "B K"]) -> Prediction:
        probability = numpy(torch.softmax(output.double(), 1))
        return Prediction(probability.argmax(1), probability)

    def risk(self, prediction: Prediction, y: np.ndarray, scale: float) -> float:
        assert prediction.probability is not None
        chosen = prediction.probability[np.arange(len(y)), y]
        return float(-np.log(np.maximum(chosen, np.finfo(np.float64).tiny)).mean())

    def linear_head(self, l2: float) -> ConstantOrLogistic:
        return ConstantOrLogistic(l2)

    def predict_with(self, estimator: Any, features: np.ndarray, output_dim: int) -> Prediction:
        probability = np.zeros((len(features), output_dim))
        probability[:, estimator.classes_] = estimator.predict_proba(features)
        return Prediction(probability.argmax(1), probability)
