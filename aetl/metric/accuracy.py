"""The fraction of examples whose class is predicted."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float
from sklearn.metrics import accuracy_score

from aetl.metric.base import Metric
from aetl.task.base import Kind
from aetl.types import Prediction


class Accuracy(Metric):
    """In [0, 1]."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"classification"})
    higher_is_better: ClassVar[bool] = True
    rope: ClassVar[float | None] = 0.01

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        return float(accuracy_score(y, prediction.value))

    def each(self, prediction: Prediction, y: np.ndarray) -> Float[np.ndarray, " N"]:
        return np.asarray(prediction.value == y, np.float64)
