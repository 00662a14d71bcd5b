"""An index of examples that are ranked by their distance to a new one."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist

from aetl.head.base import Estimator, State

FIRST = 10
"""Neighbours that are named."""
CELLS = 20_000_000
"""Distances at a time."""


class Ranking(Estimator):
    """Euclidean; of equally near examples the earlier one comes first."""

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Ranking:
        return self.load_state({"x": x[weight > 0], "labels": y[weight > 0]})

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """For each class the average precision of the ranking, were the query of this class."""
        return np.concatenate(
            [average_precisions(order, self.labels, self.classes_) for order in self._orders(x)]
        )

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The places of the first neighbours among the fitted examples."""
        return np.concatenate([order[:, :FIRST] for order in self._orders(x)])

    def state(self) -> dict[str, np.ndarray]:
        return {"x": self.x, "labels": self.labels}

    def load_state(self, state: State) -> Ranking:
        self.x, self.labels = state["x"], state["labels"]
        self.classes_ = np.unique(self.labels)
        return self

    def _orders(self, x: np.ndarray) -> list[np.ndarray]:
        size = max(1, CELLS // len(self.x))
        parts = [x[i : i + size] for i in range(0, len(x), size)]
        return [cdist(part, self.x, "sqeuclidean").argsort(1, kind="stable") for part in parts]


def average_precisions(
    order: Int[np.ndarray, "M N"], labels: Int[np.ndarray, " N"], classes: Int[np.ndarray, " K"]
) -> Float[np.ndarray, "M K"]:
    """The mean over the examples of a class of the share of that class up to each in the order."""
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(order.shape[1])[None], 1)
    found = np.empty((len(order), len(classes)))
    for k, label in enumerate(classes):
        own = np.sort(place[:, labels == label], 1) + 1
        found[:, k] = (np.arange(1, own.shape[1] + 1) / own).mean(1)
    return found
