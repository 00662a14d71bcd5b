"""The unweighted mean over classes of the F1 score."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.metrics import f1_score

from aetl.metric.base import Metric
from aetl.task.base import Kind
from aetl.types import Prediction


class MacroF1(Metric):
    """In [0, 1]; every class (or label) counts the same, however rare."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"classification", "multilabel"})
    higher_is_better: ClassVar[bool] = True

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        return float(f1_score(y, prediction.value, average="macro", zero_division=0.0))
