"""A mixture of normal distributions, by expectation maximisation (Dempster et al., 1977)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.mixture import GaussianMixture as SkMixture

from aetl.head.base import Estimator, Head, Model, State
from aetl.head.fitted import put_back, state_of
from aetl.ranges import Count, Positive, Seed
from aetl.types import Kind

Covariance = Literal["full", "tied", "diag", "spherical"]


class GaussianMixture(Head):
    """Of an example that may be an anomaly: minus its log-likelihood, in nats. Of one that belongs
    to a cluster: the component that is most probably its own.

    scikit-learn's, from k-means; ``ridge`` is added to each variance. Fewer components where there
    are fewer examples.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"anomaly", "clustering"})

    def __init__(
        self,
        *,
        scale: Literal["none", "standard"],
        components: Count,
        covariance: Covariance,
        ridge: Positive,
        seed: Seed,
    ) -> None:
        super().__init__(scale=scale, balanced=False, folds=2)
        self.components, self.covariance, self.ridge = components, covariance, ridge
        self.seed = seed

    def models(self, kind: Kind) -> list[Model]:
        told = {"components": self.components, "covariance": self.covariance}
        return [Model(told, lambda: Mixture(self, kind))]


class Mixture(Estimator):
    """scikit-learn's as arrays."""

    def __init__(self, head: GaussianMixture, kind: Kind) -> None:
        self.head, self.kind = head, kind

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Mixture:
        x = x[weight > 0]
        self.mixture = self._build(min(self.head.components, len(x))).fit(x)
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        if self.kind == "clustering":
            return np.asarray(self.mixture.predict(x), np.int64)
        return -np.asarray(self.mixture.score_samples(x))

    def state(self) -> dict[str, np.ndarray]:
        return state_of(self.mixture)

    def load_state(self, state: State) -> Mixture:
        self.mixture = put_back(self._build(len(state["weights_"])), state)
        return self

    def _build(self, components: int) -> Any:
        return SkMixture(
            components, covariance_type=self.head.covariance, reg_covar=self.head.ridge,
            random_state=self.head.seed,
        )  # fmt: skip
