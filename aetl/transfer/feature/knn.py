"""Nearest neighbours on frozen features (Cover and Hart, IEEE Trans. Inf. Theory 13, 1967)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from aetl.ranges import Count
from aetl.task.base import Task
from aetl.task.fitted import below, joined, put_back, state_of
from aetl.transfer.base import TransferStrategy


class Knn(TransferStrategy):
    """The ``neighbours`` nearest training examples vote, each with its weight."""

    def __init__(self, *, neighbours: Count) -> None:
        self.neighbours = neighbours

    def head(self, task: Task) -> Any:
        return Neighbours(self.neighbours, task.kind)


class Neighbours:
    """Weighted vote, or mean of numbers or labels, by distance of standardised features."""

    def __init__(self, neighbours: int, kind: str) -> None:
        self.neighbours, self.kind = neighbours, kind

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Neighbours:
        known = weight > 0
        x, y, self.weight = x[known], y[known], weight[known]
        self.scaler = StandardScaler().fit(x)
        self.search = NearestNeighbors(n_neighbors=min(self.neighbours, len(x)))
        self.search.fit(self.scaler.transform(x))
        if self.kind == "classification":
            self.classes_ = np.unique(y)
            self.values = (y[:, None] == self.classes_).astype(np.float64)
        else:
            self.values = y.reshape(len(y), -1).astype(np.float64)
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        near = self.search.kneighbors(self.scaler.transform(x), return_distance=False)
        weight = self.weight[near]
        votes = (self.values[near] * weight[:, :, None]).sum(1) / weight.sum(1, keepdims=True)
        return np.asarray(votes)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.predict_proba(x)[:, 0])

    def state(self) -> dict[str, np.ndarray]:
        parts = {"scaler": state_of(self.scaler), "search": state_of(self.search)}
        own = {"weight": self.weight, "values": self.values}
        if self.kind == "classification":
            own["classes"] = self.classes_
        return own | joined(parts)

    def load_state(self, state: Mapping[str, np.ndarray]) -> Neighbours:
        self.weight, self.values = state["weight"], state["values"]
        if self.kind == "classification":
            self.classes_ = state["classes"]
        self.scaler = put_back(StandardScaler(), below("scaler", state))
        self.search = NearestNeighbors(n_neighbors=min(self.neighbours, len(self.weight)))
        put_back(self.search, below("search", state))
        return self
