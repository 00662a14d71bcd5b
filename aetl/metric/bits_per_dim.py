"""The negative log-likelihood for each value of an example."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from aetl.metric.base import Metric
from aetl.task.base import Kind
from aetl.types import Prediction


class BitsPerDim(Metric):
    """``nats / (D log 2)``, mean over the examples; an upper bound."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"density"})
    higher_is_better: ClassVar[bool] = False
    part: ClassVar[str | None] = "bits_per_dim"

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        return float(self.each(prediction, y).mean())

    def each(self, prediction: Prediction, y: np.ndarray) -> Float[np.ndarray, " N"]:
        return np.asarray(prediction.parts["bits_per_dim"], np.float64)
