"""The class whose mean is nearest (Mensink et al., 2013, IEEE TPAMI 35; Snell et al., 2017)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from aetl.head.base import Estimator, Head, Model, Scale, State
from aetl.head.classifier import Classifier, PerLabel, softmax
from aetl.ranges import Folds
from aetl.types import Kind


class NearestMean(Head):
    """Nothing to choose but the scale.

    Probabilities are the softmax of ``-|x - mean_k|^2 / (2 s^2)`` with ``s^2`` the mean squared
    distance from the own class's mean for each feature: a Gaussian of each class, equally wide and
    equally likely.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"classification", "multilabel"})

    def __init__(self, *, scale: Scale, balanced: bool, folds: Folds) -> None:
        super().__init__(scale=scale, balanced=balanced, folds=folds)

    def models(self, kind: Kind) -> list[Model]:
        several = kind == "multilabel"
        return [Model({}, (lambda: PerLabel(Means)) if several else Means)]


class Means(Classifier):
    """Weighted means of the classes, and the variance within them."""

    def learn(
        self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, near: Estimator | None
    ) -> None:
        share = (y[:, None] == self.classes_) * weight[:, None]
        self.means = (share.T @ x) / share.sum(0)[:, None]
        within = np.square(x - self.means[np.searchsorted(self.classes_, y)]).mean(1)
        # One example of each class has nothing within it: any width gives the same classes.
        self.variance = float((weight * within).sum() / weight.sum()) or 1.0

    def probability(self, x: np.ndarray) -> np.ndarray:
        product = x @ self.means.T - np.square(self.means).sum(1) / 2
        return softmax(product / self.variance)

    def linear(self) -> tuple[np.ndarray, np.ndarray]:
        return self.means / self.variance, -np.square(self.means).sum(1) / 2 / self.variance

    def learnt(self) -> dict[str, np.ndarray]:
        return {"means": self.means, "variance": np.array(self.variance)}

    def recall(self, state: State) -> None:
        self.means, self.variance = state["means"], float(state["variance"])
