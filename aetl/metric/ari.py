"""Pairs on which clusters and classes agree, less chance (Hubert and Arabie, 1985)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.metrics import adjusted_rand_score

from aetl.metric.base import Metric
from aetl.metric.cluster_accuracy import without_classes
from aetl.task.base import Kind
from aetl.types import Prediction


class AdjustedRandIndex(Metric):
    """1 is a perfect match, 0 is chance."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"clustering"})
    higher_is_better: ClassVar[bool] = True
    rope: ClassVar[float | None] = 0.01

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        return float(adjusted_rand_score(y, prediction.value))

    def undefined(self, y: np.ndarray) -> str | None:
        return without_classes(y)
