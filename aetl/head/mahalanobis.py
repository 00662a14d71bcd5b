"""The distance from the mean in units of the covariance (Mahalanobis, 1936; Lee et al., 2018,
arXiv:1807.03888)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from sklearn.covariance import ledoit_wolf

from aetl.head.base import Estimator, Head, Model, State
from aetl.ranges import Fraction
from aetl.types import Kind


class Mahalanobis(Head):
    """``sqrt((x - m)' C^-1 (x - m))``; one mean, since there is one class.

    ``shrinkage`` draws the covariance to a multiple of the unit matrix; ``auto`` is that of Ledoit
    and Wolf (2004, J. Multivariate Analysis 88).
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"anomaly"})

    def __init__(
        self, *, scale: Literal["none", "standard"], shrinkage: Fraction | Literal["auto"]
    ) -> None:
        super().__init__(scale=scale, balanced=False, folds=2)
        self.shrinkage: float | Literal["auto"] = shrinkage

    def models(self, kind: Kind) -> list[Model]:
        return [Model({"shrinkage": self.shrinkage}, lambda: Distance(self.shrinkage))]


class Distance(Estimator):
    """Mean, and a matrix that whitens."""

    def __init__(self, shrinkage: float | Literal["auto"]) -> None:
        self.shrinkage: float | Literal["auto"] = shrinkage

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Distance:
        x = x[weight > 0]
        self.mean = x.mean(0)
        centred = x - self.mean
        if self.shrinkage == "auto":
            covariance = ledoit_wolf(centred, assume_centered=True)[0]
        else:
            plain = centred.T @ centred / len(x)
            level = np.trace(plain) / len(plain)
            covariance = (1 - self.shrinkage) * plain + self.shrinkage * level * np.eye(len(plain))
        values, vectors = np.linalg.eigh(covariance)
        # What never varied is as strange as can be where it does: but a finite number.
        values = np.maximum(values, max(values[-1], 1.0) * np.finfo(np.float64).eps)
        self.whitening = vectors / np.sqrt(values)
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(np.linalg.norm((x - self.mean) @ self.whitening, axis=1))

    def state(self) -> dict[str, np.ndarray]:
        return {"mean": self.mean, "whitening": self.whitening}

    def load_state(self, state: State) -> Distance:
        self.mean, self.whitening = state["mean"], state["whitening"]
        return self
