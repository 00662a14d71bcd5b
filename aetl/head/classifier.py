"""What classifiers have in common: weights of zero, a single class, several labels."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from torch import nn

from aetl.head.base import Estimator, State
from aetl.head.fitted import joined, parts_of
from aetl.head.graph import Constant, Linear, Presences, Probabilities


class Classifier(Estimator):
    """Answers also where the labels at hand are all of one class: by that class."""

    def fit(
        self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, near: Estimator | None = None
    ) -> Classifier:
        """``near``, a fit of other settings to the same, is where an iteration may start."""
        known = weight > 0
        x, y, weight = x[known], y[known], weight[known]
        self.classes_ = np.unique(y)
        if len(self.classes_) > 1:
            with warnings.catch_warnings():  # a few labels of many classes are no numbers
                warnings.filterwarnings("ignore", "The number of unique classes is greater")
                self.learn(x, y, weight, near)
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        if len(self.classes_) == 1:
            return np.ones((len(x), 1))
        return self.probability(x)

    def state(self) -> dict[str, np.ndarray]:
        found = {"classes": self.classes_}
        return found | self.learnt() if len(self.classes_) > 1 else found

    def load_state(self, state: State) -> Classifier:
        self.classes_ = state["classes"]
        if len(self.classes_) > 1:
            self.recall(state)
        return self

    def graph(self, output_dim: int) -> nn.Module | None:
        if len(self.classes_) == 1:
            return Constant(int(self.classes_[0]), output_dim)
        linear = self.linear()
        return None if linear is None else Probabilities(Linear(*linear), self.classes_, output_dim)

    def linear(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Matrix and offset of the scores whose softmax (of one: sigmoid) the probabilities are."""
        return None

    @abstractmethod
    def learn(
        self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, near: Estimator | None
    ) -> None:
        """Fit to at least two classes, no weight is 0."""

    @abstractmethod
    def probability(self, x: np.ndarray) -> np.ndarray:
        """Of at least two classes."""

    @abstractmethod
    def learnt(self) -> dict[str, np.ndarray]:
        """What ``learn`` found."""

    @abstractmethod
    def recall(self, state: State) -> None:
        """The inverse of ``learnt``."""


def softmax(decision: Float[np.ndarray, "N K"]) -> Float[np.ndarray, "N K"]:
    exponent = np.exp(decision - decision.max(1, keepdims=True))
    return np.asarray(exponent / exponent.sum(1, keepdims=True))


def both_sides(decision: np.ndarray) -> Float[np.ndarray, "N K"]:
    """Of two classes scikit-learn gives one number, for the second."""
    return decision if decision.ndim == 2 else np.stack([-decision / 2, decision / 2], 1)


class PerLabel(Estimator):
    """One classifier for each of several labels; the probabilities are those of its presence."""

    def __init__(self, make: Callable[[], Classifier]) -> None:
        self.make = make

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> PerLabel:
        self.models = [self.make().fit(x, column, weight) for column in y.T]
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return np.stack([_presence(model, x) for model in self.models], 1)

    def state(self) -> dict[str, np.ndarray]:
        return joined({str(k): model.state() for k, model in enumerate(self.models)})

    def graph(self, output_dim: int) -> nn.Module | None:
        graphs = [model.graph(2) for model in self.models]
        found = [graph for graph in graphs if graph is not None]
        return Presences(found) if len(found) == len(graphs) else None

    def load_state(self, state: State) -> PerLabel:
        self.models = [self.make().load_state(part) for part in parts_of(state)]
        return self


def _presence(model: Classifier, x: np.ndarray) -> np.ndarray:
    """The probability of class 1, also where the classifier has only ever seen one class."""
    found = model.predict_proba(x)
    known = np.flatnonzero(model.classes_ == 1)
    return np.asarray(found[:, known[0]] if len(known) else np.zeros(len(x)))
