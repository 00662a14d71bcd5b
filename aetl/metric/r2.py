"""The coefficient of determination."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int
from sklearn.metrics import r2_score

from aetl.metric.base import Metric
from aetl.task.base import Kind
from aetl.types import Prediction


class R2(Metric):
    """1 is perfect, 0 is as good as predicting the mean of the test targets."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"regression"})
    higher_is_better: ClassVar[bool] = True
    most_units: ClassVar[int] = 2000

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        return float(r2_score(y, prediction.value))

    def undefined(self, y: np.ndarray) -> str | None:
        if len(np.unique(y)) > 1:
            return None
        return f"no pair of different targets among the {len(y)} test examples"

    def without(
        self, prediction: Prediction, y: np.ndarray, unit: Int[np.ndarray, " N"], units: int
    ) -> Float[np.ndarray, " U"]:
        """From sums over the units; where what is left has one value, as scikit-learn has it."""
        y = y.astype(np.float64)
        error = (prediction.value - y) ** 2
        centred = y - y.mean()  # against cancellation in the difference of the squares
        left = len(y) - np.bincount(unit, minlength=units)
        residual, first, second = (
            v.sum() - np.bincount(unit, v, units) for v in (error, centred, centred**2)
        )
        total = second - first**2 / left
        if (total <= 1e-12 * second).any():
            return super().without(prediction, y, unit, units)
        return np.asarray(1.0 - residual / total)
