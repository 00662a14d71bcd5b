"""What a task is: what the head gives, how it is trained and what it predicts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from aetl.data.base import Examples
from aetl.head.chosen import Chosen
from aetl.head.logistic import Logistic
from aetl.types import Kind as Kind
from aetl.types import Prediction


class Task(ABC):
    """The question that is asked of the target data."""

    kind: ClassVar[Kind]

    @abstractmethod
    def targets(self, examples: Examples) -> Tensor:
        """The targets of all examples; ``UserError`` where the data has none of this kind."""

    @abstractmethod
    def output_dim(self, examples: Examples) -> int:
        """How many numbers the head gives for an example."""

    @abstractmethod
    def scale(self, y: Tensor) -> tuple[float, float]:
        """Shift and scale of the head's output, from the training targets."""

    @abstractmethod
    def loss(self, output: Float[Tensor, "B K"], y: Tensor, scale: float) -> Float[Tensor, " B"]:
        """The loss of each example (nats, or squared standardised units)."""

    @abstractmethod
    def expected(self, output: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """What the head's output says of the targets: probabilities, or the values themselves."""

    @abstractmethod
    def predict(self, output: Float[Tensor, "B K"]) -> Prediction:
        """Predictions from the head's output."""

    @abstractmethod
    def risk(self, prediction: Prediction, y: np.ndarray, scale: float) -> float:
        """The mean of ``loss`` over predictions that were made by whatever means."""

    def linear_head(self, l2: float) -> Chosen:
        """Logistic regression (of numbers: ridge) of standardised features, the penalty given.

        The probe inside of an algorithm; that of an arm is the config's ``head``.
        """
        return Chosen(Logistic(scale="standard", balanced=False, folds=5, strength=l2), self.kind)

    @abstractmethod
    def predict_with(self, estimator: Any, features: np.ndarray, output_dim: int) -> Prediction:
        """Predictions of a fitted scikit-learn estimator."""


def numpy(x: Tensor) -> np.ndarray:
    """A tensor as a NumPy array on the CPU, in float64 where it is a float."""
    x = x.detach().cpu()
    return x.double().numpy() if torch.is_floating_point(x) else x.numpy()
