"""The smallest region that holds most examples (Schölkopf et al., Neural Computation 13, 2001)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import OneClassSVM

from aetl.head.base import Estimator, Head, Model, State
from aetl.ranges import Count, Share
from aetl.types import Kind


class OneClassSvm(Head):
    """scikit-learn's with a Gaussian kernel of width ``1 / (features x variance)``.

    At most the share ``nu`` of the examples lies outside. The score is minus the decision function.
    Of more than ``examples`` so many, evenly spaced: the time grows with their square.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"anomaly"})

    def __init__(self, *, scale: Literal["none", "standard"], nu: Share, examples: Count) -> None:
        super().__init__(scale=scale, balanced=False, folds=2)
        self.nu, self.examples = nu, examples

    def models(self, kind: Kind) -> list[Model]:
        return [Model({"nu": self.nu}, lambda: Region(self.nu, self.examples))]


class Region(Estimator):
    """Support vectors, their coefficients and an offset."""

    def __init__(self, nu: float, examples: int) -> None:
        self.nu, self.examples = nu, examples

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Region:
        x = x[weight > 0]
        x = x[np.linspace(0, len(x) - 1, min(self.examples, len(x))).round().astype(int)]
        self.gamma = 1.0 / (x.shape[1] * (x.var() or 1.0))
        found = OneClassSVM(nu=self.nu, gamma=self.gamma).fit(x)
        self.vectors, self.weights = found.support_vectors_, found.dual_coef_[0]
        self.offset = float(found.intercept_[0])
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(-(rbf_kernel(x, self.vectors, self.gamma) @ self.weights + self.offset))

    def state(self) -> dict[str, np.ndarray]:
        return {
            "vectors": self.vectors, "weights": self.weights, "offset": np.array(self.offset),
            "gamma": np.array(self.gamma),
        }  # fmt: skip

    def load_state(self, state: State) -> Region:
        self.vectors, self.weights = state["vectors"], state["weights"]
        self.offset, self.gamma = float(state["offset"]), float(state["gamma"])
        return self
