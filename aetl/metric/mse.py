"""The mean squared error of a reconstruction."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from aetl.metric.base import Metric
from aetl.task.base import Kind
from aetl.types import Prediction


class MeanSquaredError(Metric):
    """For each cell, in squared units of the data as the network sees it."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"reconstruction"})
    higher_is_better: ClassVar[bool] = False
    rope: ClassVar[float | None] = None

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        return float(self.each(prediction, y).mean())

    def each(self, prediction: Prediction, y: np.ndarray) -> Float[np.ndarray, " N"]:
        return np.asarray(prediction.value, np.float64)
