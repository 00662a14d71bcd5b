"""Several labels for each example: one independent yes or no for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from aetl.data.base import Examples
from aetl.task.base import Kind, Task, numpy
from aetl.task.classification import ConstantOrLogistic
from aetl.task.fitted import joined, parts_of
from aetl.task.graph import Presences
from aetl.types import DoesNotFit, Prediction


class PerLabel:
    """One classifier for each label; the probabilities are those of its presence."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> PerLabel:
        self.models = [self.make().fit(x, column, weight) for column in y.T]
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return np.stack([_presence(model, x) for model in self.models], 1)

    def state(self) -> dict[str, np.ndarray]:
        return joined({str(k): model.state() for k, model in enumerate(self.models)})

    def graph(self, output_dim: int) -> nn.Module | None:
        """The same as a module of features in float64, where each classifier has one."""
        if not all(hasattr(model, "graph") for model in self.models):
            return None
        return Presences([model.graph(2) for model in self.models])

    def load_state(self, state: Mapping[str, np.ndarray]) -> PerLabel:
        self.models = [self.make().load_state(part) for part in parts_of(state)]
        return self


def _presence(model: Any, x: np.ndarray) -> np.ndarray:
    """The probability of class 1, also where the classifier has only ever seen one class."""
    found = model.predict_proba(x)
    known = np.flatnonzero(np.asarray(model.classes_) == 1)
    return np.asarray(found[:, known[0]] if len(known) else np.zeros(len(x)))


class Multilabel(Task):
    """Any of K labels for each example: binary cross-entropy, summed over the labels.

    A label is predicted from a probability of one half on. Data has several labels where ``y`` is a
    matrix of zeros and ones.
    """

    kind: ClassVar[Kind] = "multilabel"

    def targets(self, examples: Examples) -> Tensor:
        if examples.y.dim() != 2:
            other = "classification" if examples.classes else "regression"
            raise DoesNotFit(
                f"task=multilabel: this data has one target for an example, use task={other}"
            )
        return examples.y

    def output_dim(self, examples: Examples) -> int:
        return len(examples.classes)

    def scale(self, y: Tensor) -> tuple[float, float]:
        return 0.0, 1.0

    def loss(self, output: Float[Tensor, "B K"], y: Tensor, scale: float) -> Float[Tensor, " B"]:
        return binary_cross_entropy_with_logits(output, y.to(output), reduction="none").sum(1)

    def expected(self, output: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        return output.sigmoid()

    def predict(self, output: Float[Tensor, "B K"]) -> Prediction:
        return _decided(numpy(torch.sigmoid(output.double())))

    def risk(self, prediction: Prediction, y: np.ndarray, scale: float) -> float:
        assert prediction.probability is not None
        chosen = np.where(y == 1, prediction.probability, 1 - prediction.probability)
        return float(-np.log(np.maximum(chosen, np.finfo(np.float64).tiny)).sum(1).mean())

    def linear_head(self, l2: float) -> PerLabel:
        return PerLabel(lambda: ConstantOrLogistic(l2))

    def predict_with(self, estimator: Any, features: np.ndarray, output_dim: int) -> Prediction:
        return _decided(np.asarray(estimator.predict_proba(features)))


def _decided(probability: np.ndarray) -> Prediction:
    return Prediction((probability >= 0.5).astype(np.int64), probability)
