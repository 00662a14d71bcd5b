"""What a head is: which estimators stand for choice, and which of them is fitted on features.

Heads know nothing of networks: they take float64 features, targets and weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from torch import nn

from aetl.ranges import Folds, Positive
from aetl.types import SUPERVISED, Kind

Scale = Literal["none", "standard", "auto"]
Strength = Positive | Literal["auto"]

State = Mapping[str, np.ndarray]
ALL: frozenset[Kind] = SUPERVISED


class Estimator(ABC):
    """Fits and predicts as scikit-learn's do; comes down to arrays and back."""

    classes_: np.ndarray
    """Of a classifier: the labels that it was fitted on, sorted."""

    @abstractmethod
    def fit(
        self, x: Float[np.ndarray, "N F"], y: Shaped[np.ndarray, "N ..."],
        weight: Float[np.ndarray, " N"],
    ) -> Estimator:  # fmt: skip
        """Fit; an example of weight 0 does not exist."""

    def predict_proba(self, x: Float[np.ndarray, "N F"]) -> Float[np.ndarray, "N K"]:
        """Probabilities of ``classes_``, or of the presence of each of several labels."""
        raise NotImplementedError

    def predict(self, x: Float[np.ndarray, "N F"]) -> Float[np.ndarray, " N"]:
        """Values, of a regression; scores of anomalies, clusters, reconstructions, neighbours."""
        raise NotImplementedError

    def graph(self, output_dim: int) -> nn.Module | None:
        """The same as a module of features in float64; None where it cannot be one."""
        return None

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """All that ``fit`` found, as arrays by name."""

    @abstractmethod
    def load_state(self, state: State) -> Estimator:
        """An unfitted estimator of the same settings, fitted by what ``state`` gave."""


class Model(NamedTuple):
    """One of the estimators that a head may become, with what tells it apart."""

    settings: Mapping[str, Any]
    make: Callable[[], Any]


class Head(ABC):
    """A choice of the config.

    ``scale`` says whether each feature is brought to mean 0 and deviation 1 over the examples that
    the head is fitted on; ``auto`` decides by cross-validation. With ``balanced`` the classes have
    equal weight in all. What is left open is chosen over ``folds`` folds of the labels at hand.
    """

    kinds: ClassVar[frozenset[Kind]] = ALL

    def __init__(self, *, scale: Scale, balanced: bool, folds: Folds) -> None:
        self.scale: Scale = scale
        self.balanced, self.folds = balanced, folds

    @property
    def name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

    @abstractmethod
    def models(self, kind: Kind) -> list[Model]:
        """The estimators to choose from, the stiffest first: of equal ones it is taken."""

    def options(self, kind: Kind) -> list[Model]:
        """... with the head and the scale that each goes with."""
        # "none" first: of equal ones, features are left as they are.
        scales: tuple[str, ...] = (self.scale,)
        if self.scale == "auto":  # without labels to judge by, features are left as they are
            scales = ("none", "standard") if kind in SUPERVISED else ("none",)
        return [
            Model({"head": self.name, "scale": scale} | dict(model.settings), model.make)
            for scale in scales
            for model in self.models(kind)
        ]
