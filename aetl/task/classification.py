"""Single-label classification by cross-entropy."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from aetl.data.base import Examples
from aetl.task.base import Kind, Task, numpy
from aetl.types import DoesNotFit, Prediction


class Classification(Task):
    """One of K classes for each example."""

    kind: ClassVar[Kind] = "classification"

    def targets(self, examples: Examples) -> Tensor:
        if examples.y.dim() == 2:
            raise DoesNotFit(
                "task=classification: this data has several labels for an example, "
                "use task=multilabel"
            )
        if not examples.labelled:
            raise DoesNotFit(
                "task=classification: this data has no labels; name them by target=..."
            )
        if not examples.classes:
            raise DoesNotFit(
                "task=classification: this data has real-valued targets, use task=regression"
            )
        return examples.y

    def fits(self, examples: Examples) -> None:
        if len(examples.classes) == 1:
            raise DoesNotFit(
                f"task=classification: every label is '{examples.classes[0]}', so there is nothing "
                "to tell apart; choose other labels, or a task without any (anomaly, density, ...)"
            )

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

    def predict_with(self, estimator: Any, features: np.ndarray, output_dim: int) -> Prediction:
        probability = np.zeros((len(features), output_dim))
        probability[:, estimator.classes_] = estimator.predict_proba(features)
        return Prediction(probability.argmax(1), probability)
