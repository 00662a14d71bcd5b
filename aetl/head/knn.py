"""Nearest neighbours (Cover and Hart, IEEE Trans. Inf. Theory 13, 1967)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int
from sklearn.neighbors import NearestNeighbors

from aetl.head.base import ALL, Estimator, Head, Model, Scale, State
from aetl.head.ranking import Ranking
from aetl.ranges import Count, Folds
from aetl.types import Kind

NEIGHBOURS = (15, 9, 5, 3, 1)


class Knn(Head):
    """The ``neighbours`` nearest training examples vote, each with its weight.

    Euclidean; ``auto`` chooses from 1 to 15. Of classes with equal votes the one that sorts first
    wins. Of numbers, and of several labels, it is the weighted mean. Of an example that may be an
    anomaly it is the distance to the last of them (Ramaswamy et al., SIGMOD 2000; ``auto``: 5).
    For retrieval it is the index: all examples are ranked.
    """

    kinds: ClassVar[frozenset[Kind]] = ALL | {"anomaly", "retrieval"}

    def __init__(
        self,
        *,
        scale: Scale,
        balanced: bool,
        folds: Folds,
        neighbours: Count | Literal["auto"],
    ) -> None:
        super().__init__(scale=scale, balanced=balanced, folds=folds)
        self.neighbours: int | Literal["auto"] = neighbours

    def models(self, kind: Kind) -> list[Model]:
        numbers = NEIGHBOURS if self.neighbours == "auto" else (self.neighbours,)
        if kind == "retrieval":
            return [Model({}, Ranking)]
        if kind == "anomaly":
            number = 5 if self.neighbours == "auto" else self.neighbours
            return [Model({"neighbours": number}, lambda: LastNeighbour(number))]
        return [_neighbours(number, kind) for number in numbers]


def _neighbours(number: int, kind: Kind) -> Model:
    return Model({"neighbours": number}, lambda: Neighbours(number, kind))


class Neighbours(Estimator):
    """Weighted vote, or mean of numbers or labels."""

    def __init__(self, neighbours: int, kind: Kind) -> None:
        self.neighbours, self.kind = neighbours, kind

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Neighbours:
        known = weight > 0
        x, y, weight = x[known], y[known], weight[known]
        if self.kind == "classification":
            self.classes_ = np.unique(y)
            values = (y[:, None] == self.classes_).astype(np.float64)
        else:
            self.classes_ = np.zeros(0, dtype=np.int64)
            values = y.reshape(len(y), -1).astype(np.float64)
        return self._set(x, values, weight)

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        near = self.search.kneighbors(x, return_distance=False)
        return voted(self.values, self.weight, near)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.predict_proba(x)[:, 0])

    def state(self) -> dict[str, np.ndarray]:
        return {
            "x": self.x, "values": self.values, "weight": self.weight, "classes": self.classes_
        }  # fmt: skip

    def load_state(self, state: State) -> Neighbours:
        self.classes_ = state["classes"]
        return self._set(state["x"], state["values"], state["weight"])

    def _set(self, x: np.ndarray, values: np.ndarray, weight: np.ndarray) -> Neighbours:
        self.x, self.values, self.weight = x, values, weight
        self.search = NearestNeighbors(n_neighbors=min(self.neighbours, len(x))).fit(x)
        return self


class LastNeighbour(Estimator):
    """The distance to the nearest but so many."""

    def __init__(self, neighbours: int) -> None:
        self.neighbours = neighbours

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> LastNeighbour:
        return self.load_state({"x": x[weight > 0]})

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.search.kneighbors(x)[0][:, -1])

    def state(self) -> dict[str, np.ndarray]:
        return {"x": self.x}

    def load_state(self, state: State) -> LastNeighbour:
        self.x = state["x"]
        self.search = NearestNeighbors(n_neighbors=min(self.neighbours, len(self.x))).fit(self.x)
        return self


def voted(
    values: Float[np.ndarray, "N K"], weight: Float[np.ndarray, " N"], near: Int[np.ndarray, "M k"]
) -> Float[np.ndarray, "M K"]:
    """The weighted means of the values of each example's neighbours."""
    share = weight[near]
    return np.asarray((values[near] * share[:, :, None]).sum(1) / share.sum(1, keepdims=True))
