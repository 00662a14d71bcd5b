"""What principal components do not reach (Shyu et al., 2003; Hotelling, 1933)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from aetl.head.base import Estimator, Head, Model, State
from aetl.ranges import Natural
from aetl.types import Kind


class Pca(Head):
    """The projection on ``components`` directions of most variance, from their mean.

    Of an example that may be an anomaly: the mean squared error per feature. Else the projection
    itself, as a reconstruction. Without components it is the mean.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"anomaly", "reconstruction"})

    def __init__(self, *, scale: Literal["none", "standard"], components: Natural) -> None:
        super().__init__(scale=scale, balanced=False, folds=2)
        self.components = components

    def models(self, kind: Kind) -> list[Model]:
        return [Model({"components": self.components}, lambda: Projection(self.components, kind))]


class Projection(Estimator):
    """Mean and orthonormal directions."""

    def __init__(self, components: int, kind: Kind) -> None:
        self.components, self.kind = components, kind

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Projection:
        x = x[weight > 0]
        self.mean = x.mean(0)
        centred = x - self.mean
        wide = centred.shape[1] > len(centred)
        gram = centred @ centred.T if wide else centred.T @ centred
        values, vectors = np.linalg.eigh(gram)
        kept = np.flatnonzero(values > len(gram) * np.finfo(np.float64).eps * max(values[-1], 0.0))
        kept = kept[::-1][: self.components]
        directions = vectors[:, kept]
        if wide:
            directions = centred.T @ (directions / np.sqrt(values[kept]))
        self.directions = directions
        return self

    def projected(self, x: np.ndarray) -> np.ndarray:
        centred = x - self.mean
        return np.asarray(self.mean + (centred @ self.directions) @ self.directions.T)

    def predict(self, x: np.ndarray) -> np.ndarray:
        found = self.projected(x)
        return found if self.kind == "reconstruction" else np.square(found - x).mean(1)

    def state(self) -> dict[str, np.ndarray]:
        return {"mean": self.mean, "directions": self.directions}

    def load_state(self, state: State) -> Projection:
        self.mean, self.directions = state["mean"], state["directions"]
        return self
