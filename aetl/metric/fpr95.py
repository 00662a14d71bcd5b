"""False alarms where 95 % of the anomalies are found (Hendrycks and Gimpel, arXiv:1610.02136)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from aetl.metric.base import Metric, without_contrast
from aetl.task.base import Kind
from aetl.types import Prediction

FOUND = 0.95


class FalsePositiveRate(Metric):
    """The share of normal examples that are as strange as the threshold, the highest one at which
    at least 95 % of the anomalies are; in [0, 1]."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"anomaly"})
    higher_is_better: ClassVar[bool] = False
    most_units: ClassVar[int] = 20
    """The jackknife of a quantile has to leave out many at once (Shao and Wu, 1989)."""
    rope: ClassVar[float | None] = 0.01

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        strange = np.sort(prediction.value[y == 1])[::-1]
        if not len(strange) or not (y == 0).any():
            return float("nan")
        threshold = strange[int(np.ceil(FOUND * len(strange) - 1e-9)) - 1]
        return float((prediction.value[y == 0] >= threshold).mean())

    def undefined(self, y: np.ndarray) -> str | None:
        return without_contrast(y)
