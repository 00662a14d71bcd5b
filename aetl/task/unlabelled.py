"""What the tasks have in common whose networks answer without a head of their own."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from aetl.data.base import Examples
from aetl.task.base import Task
from aetl.types import Prediction


class Unlabelled(Task):
    """No arm learns from labels: the head's one output has no meaning and no part in any loss."""

    supervised: ClassVar[bool] = False

    def output_dim(self, examples: Examples) -> int:
        return 1

    def scale(self, y: Tensor) -> tuple[float, float]:
        return 0.0, 1.0

    def loss(self, output: Float[Tensor, "B K"], y: Tensor, scale: float) -> Float[Tensor, " B"]:
        return output.new_zeros(len(output))

    def expected(self, output: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        return output

    def predict(self, output: Float[Tensor, "B K"]) -> Prediction:
        raise NotImplementedError

    def risk(self, prediction: Prediction, y: np.ndarray, scale: float) -> float:
        raise NotImplementedError

    def predict_with(self, estimator: Any, features: np.ndarray, output_dim: int) -> Prediction:
        return Prediction(np.asarray(estimator.predict(features)), None)


def unknown(examples: Examples) -> Tensor:
    """Targets that say nothing."""
    return torch.full((len(examples),), -1)
