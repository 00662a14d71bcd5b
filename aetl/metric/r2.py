"""The coefficient of determination."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.metrics import r2_score

from aetl.metric.base import Metric
from aetl.task.base import Kind
from aetl.types import Prediction


class R2(Metric):
    """1 is perfect, 0 is as good as predicting the mean of the test targets."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"regression"})
    higher_is_better: ClassVar[bool] = True

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        return float(r2_score(y, prediction.value))
