"""The negative log-likelihood of an example."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from aetl.metric.base import Metric
from aetl.task.base import Kind
from aetl.types import Prediction


class Nats(Metric):
    """Mean over the examples, in nats; an upper bound."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"density"})
    higher_is_better: ClassVar[bool] = False
    rope: ClassVar[float | None] = 0.1

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        return float(self.each(prediction, y).mean())

    def each(self, prediction: Prediction, y: np.ndarray) -> Float[np.ndarray, " N"]:
        return np.asarray(prediction.value, np.float64)
