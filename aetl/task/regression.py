"""Regression of one real value by squared error on standardised targets."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from aetl.data.base import Examples
from aetl.task.base import Kind, Task, numpy
from aetl.types import DoesNotFit, Prediction, UserError


class Regression(Task):
    """One real value for each example.

    Data with numeric class names (digits) may be regressed too: the class's number is the target.
    """

    kind: ClassVar[Kind] = "regression"

    def targets(self, examples: Examples) -> Tensor:
        if examples.y.dim() == 2:
            raise DoesNotFit(
                "task=regression: this data has several labels for an example, use task=multilabel"
            )
        if not examples.classes:
            return examples.y.float()
        try:
            values = torch.tensor([float(name) for name in examples.classes])
        except ValueError:
            some = ", ".join(examples.classes[:3])
            raise UserError(f"task=regression: the classes ({some}, ...) are not numbers") from None
        return values[examples.y]

    def output_dim(self, examples: Examples) -> int:
        return 1

    def scale(self, y: Tensor) -> tuple[float, float]:
        spread = float(y.std(correction=0)) if len(y) > 1 else 0.0
        return float(y.mean()), spread or 1.0

    def loss(self, output: Float[Tensor, "B K"], y: Tensor, scale: float) -> Float[Tensor, " B"]:
        return ((output.squeeze(1) - y) / scale).square()

    def expected(self, output: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        return output

    def predict(self, output: Float[Tensor, "B K"]) -> Prediction:
        return Prediction(numpy(output.squeeze(1)), None)

    def risk(self, prediction: Prediction, y: np.ndarray, scale: float) -> float:
        return float((((prediction.value - y) / scale) ** 2).mean())

    def predict_with(self, estimator: Any, features: np.ndarray, output_dim: int) -> Prediction:
        return Prediction(estimator.predict(features), None)
