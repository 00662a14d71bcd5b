"""The mean absolute error."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from sklearn.metrics import mean_absolute_error

from aetl.metric.base import Metric
from aetl.types import Prediction


class MAE(Metric):
    """In units of the target."""

    kind: ClassVar[Literal["classification", "regression"]] = "regression"
    higher_is_better: ClassVar[bool] = False

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        return float(mean_absolute_error(y, prediction.value))
