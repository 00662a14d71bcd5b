"""Clusters around means (Lloyd, 1982; Arthur and Vassilvitskii, 2007)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans as SkKMeans

from aetl.head.base import Estimator, Head, Model, State
from aetl.ranges import Count, Seed
from aetl.types import Kind


class KMeans(Head):
    """scikit-learn's, the best of ``starts`` by k-means++. Fewer clusters for fewer examples."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"clustering"})

    def __init__(
        self, *, scale: Literal["none", "standard"], clusters: Count, starts: Count, seed: Seed
    ) -> None:
        super().__init__(scale=scale, balanced=False, folds=2)
        self.clusters, self.starts, self.seed = clusters, starts, seed

    def models(self, kind: Kind) -> list[Model]:
        return [Model({"clusters": self.clusters}, lambda: Centres(self))]


class Centres(Estimator):
    """An example belongs to the nearest centre."""

    def __init__(self, head: KMeans) -> None:
        self.head = head

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Centres:
        known = weight > 0
        found = SkKMeans(
            min(self.head.clusters, int(known.sum())),
            n_init=self.head.starts, random_state=self.head.seed,
        ).fit(x[known], sample_weight=weight[known])  # fmt: skip
        self.centres = found.cluster_centers_
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(cdist(x, self.centres, "sqeuclidean").argmin(1))

    def state(self) -> dict[str, np.ndarray]:
        return {"centres": self.centres}

    def load_state(self, state: State) -> Centres:
        self.centres = state["centres"]
        return self
