"""Leave-one-out nearest neighbours: what the closest other examples say."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.spatial.distance import cdist

from aetl.head.knn import voted
from aetl.ranges import Count
from aetl.score.base import Evidence, Kind, Score, agreement, coordinates


class KNN(Score):
    """Leave-one-out accuracy of the vote of ``neighbours``, or R^2 of their mean.

    Euclidean; of classes with equally many votes the one that sorts first wins, as in
    ``head=knn head.scale=none``.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"classification", "regression"})

    def __init__(self, *, neighbours: Count) -> None:
        self.neighbours = neighbours

    def __call__(self, evidence: Evidence) -> float:
        x, y = evidence.features, evidence.y
        if x.shape[1] > len(x):
            x = coordinates(x)  # the same distances in fewer dimensions
        distance = cdist(x, x)
        np.fill_diagonal(distance, np.inf)
        near = np.argsort(distance, 1, kind="stable")[:, : min(self.neighbours, len(y) - 1)]
        if np.issubdtype(y.dtype, np.floating):
            return agreement(y[near].mean(1), y)
        labels, row = np.unique(y, return_inverse=True)
        votes = voted(np.eye(len(labels))[row], np.ones(len(y)), near)
        return agreement(labels[votes.argmax(1)], y)
