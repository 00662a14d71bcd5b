"""The negative log-likelihood of the true class, or of all labels together."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from aetl.metric.base import Metric
from aetl.task.base import Kind
from aetl.types import Prediction


class NegativeLogLikelihood(Metric):
    """Mean over examples, in nats; probabilities are held above 1e-12."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"classification", "multilabel"})
    higher_is_better: ClassVar[bool] = False

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        return float(self.each(prediction, y).mean())

    def each(self, prediction: Prediction, y: np.ndarray) -> Float[np.ndarray, " N"]:
        assert prediction.probability is not None
        if y.ndim == 2:
            chosen = np.where(y == 1, prediction.probability, 1 - prediction.probability)
        else:
            chosen = prediction.probability[np.arange(len(y)), y][:, None]
        return np.asarray(-np.log(np.maximum(chosen, 1e-12)).sum(1), np.float64)
