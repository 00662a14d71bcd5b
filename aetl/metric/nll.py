"""The negative log-likelihood of the true class."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from aetl.metric.base import Metric
from aetl.types import Prediction


class NegativeLogLikelihood(Metric):
    """Mean over examples, in nats; probabilities are held above 1e-12."""

    kind: ClassVar[Literal["classification", "regression"]] = "classification"
    higher_is_better: ClassVar[bool] = False

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        assert prediction.probability is not None
        chosen = prediction.probability[np.arange(len(y)), y]
        return float(-np.log(np.maximum(chosen, 1e-12)).mean())
