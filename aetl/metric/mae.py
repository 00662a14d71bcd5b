"""The mean absolute error."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float
from sklearn.metrics import mean_absolute_error

from aetl.metric.base import Metric
from aetl.task.base import Kind
from aetl.types import Prediction


class MAE(Metric):
    """In units of the target."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"regression"})
    higher_is_better: ClassVar[bool] = False

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        return float(mean_absolute_error(y, prediction.value))

    def each(self, prediction: Prediction, y: np.ndarray) -> Float[np.ndarray, " N"]:
        return np.asarray(np.abs(prediction.value - y), np.float64)
