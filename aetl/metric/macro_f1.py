"""The unweighted mean over classes of the F1 score."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from sklearn.metrics import f1_score

from aetl.metric.base import Metric
from aetl.types import Prediction


class MacroF1(Metric):
    """In [0, 1]; every class counts the same, however rare."""

    kind: ClassVar[Literal["classification", "regression"]] = "classification"
    higher_is_better: ClassVar[bool] = True

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        return float(f1_score(y, prediction.value, average="macro"))
