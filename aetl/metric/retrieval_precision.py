"""The mean average precision of rankings (Philbin et al., CVPR 2007)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from aetl.metric.base import Metric
from aetl.metric.cluster_accuracy import without_classes
from aetl.task.base import Kind
from aetl.types import Prediction


class RetrievalPrecision(Metric):
    """Over the whole ranking of the budget for each query; a class that it lacks counts as 0."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"retrieval"})
    higher_is_better: ClassVar[bool] = True
    rope: ClassVar[float | None] = 0.01

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        return float(self.each(prediction, y).mean())

    def undefined(self, y: np.ndarray) -> str | None:
        return without_classes(y)

    def each(self, prediction: Prediction, y: np.ndarray) -> Float[np.ndarray, " N"]:
        assert prediction.probability is not None
        return np.asarray(prediction.probability[np.arange(len(y)), y], np.float64)
