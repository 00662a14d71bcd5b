"""Mutual information of clusters and classes over their mean entropy (Strehl and Ghosh, 2002)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.metrics import normalized_mutual_info_score

from aetl.metric.base import Metric
from aetl.metric.cluster_accuracy import without_classes
from aetl.task.base import Kind
from aetl.types import Prediction


class NormalizedMutualInformation(Metric):
    """In [0, 1]; 0 is chance for many examples, 1 a perfect match."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"clustering"})
    higher_is_better: ClassVar[bool] = True
    rope: ClassVar[float | None] = 0.01

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        return float(normalized_mutual_info_score(y, prediction.value))

    def undefined(self, y: np.ndarray) -> str | None:
        return without_classes(y)
