"""Several labels for each example: one independent yes or no for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from aetl.data.base import Examples
from aetl.task.base import Kind, Task, numpy
from aetl.types import DoesNotFit, Prediction


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

    def columns(self, prediction: Prediction, classes: Sequence[str]) -> dict[str, np.ndarray]:
        assert prediction.probability is not None
        found = {name: prediction.value[:, k] for k, name in enumerate(classes)}
        shown = {f"p_{name}": prediction.probability[:, k] for k, name in enumerate(classes)}
        return found | shown

    def predict_with(self, estimator: Any, features: np.ndarray, output_dim: int) -> Prediction:
        return _decided(np.asarray(estimator.predict_proba(features)))


def _decided(probability: np.ndarray) -> Prediction:
    return Prediction((probability >= 0.5).astype(np.int64), probability)
