"""Accuracy under the best one-to-one matching of clusters and classes (Xie et al., 2016)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from aetl.metric.base import Metric
from aetl.task.base import Kind
from aetl.types import Prediction


class ClusterAccuracy(Metric):
    """In [0, 1], by the Hungarian method on all test examples; what is in a cluster without a class
    of its own is wrong."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"clustering"})
    higher_is_better: ClassVar[bool] = True
    rope: ClassVar[float | None] = 0.01

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        return float(self.each(prediction, y).mean())

    def undefined(self, y: np.ndarray) -> str | None:
        return without_classes(y)

    def each(self, prediction: Prediction, y: np.ndarray) -> Float[np.ndarray, " N"]:
        """Right or wrong, the matching of all examples being given."""
        clusters, classes = matched(y, prediction.value)
        class_of = np.full(int(prediction.value.max()) + 1, -1)
        class_of[clusters] = classes
        return np.asarray(class_of[prediction.value] == y, np.float64)


def matched(
    y: Int[np.ndarray, " N"], cluster: Int[np.ndarray, " N"]
) -> tuple[Int[np.ndarray, " M"], Int[np.ndarray, " M"]]:
    """Clusters and the classes that they stand for, so that most examples agree."""
    counts = np.zeros((int(cluster.max()) + 1, int(y.max()) + 1), np.int64)
    np.add.at(counts, (cluster, y), 1)
    clusters, classes = linear_sum_assignment(counts, maximize=True)
    return clusters, classes


def without_classes(y: np.ndarray) -> str | None:
    known = y[y >= 0]
    if len(known) == len(y) and len(np.unique(known)) > 1:
        return None
    return f"no two classes to tell apart among the {len(y)} test examples"
