"""The average precision of a ranking by strangeness (Davis and Goadrich, ICML 2006)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int
from sklearn.metrics import average_precision_score

from aetl.metric.base import Metric, columns, without_contrast
from aetl.metric.mean_average_precision import without_each
from aetl.task.base import Kind
from aetl.types import Prediction


class AveragePrecision(Metric):
    """The area under the steps of precision over recall of anomalies; chance is their share."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"anomaly"})
    higher_is_better: ClassVar[bool] = True
    rope: ClassVar[float | None] = 0.01
    most_units: ClassVar[int] = 2000

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        found = [average_precision_score(truth, score) for truth, score in columns(prediction, y)]
        return float(np.mean(found)) if found else float("nan")

    def undefined(self, y: np.ndarray) -> str | None:
        return without_contrast(y)

    def without(
        self, prediction: Prediction, y: np.ndarray, unit: Int[np.ndarray, " N"], units: int
    ) -> Float[np.ndarray, " U"]:
        if units < len(unit):
            return super().without(prediction, y, unit, min(units, 2000))
        left = np.empty(units)
        left[unit] = without_each(y == 1, prediction.value)
        return left
