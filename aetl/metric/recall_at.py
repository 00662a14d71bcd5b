"""Whether one of the first neighbours is of the query's class (Jégou et al., 2011)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Interval
from jaxtyping import Float

from aetl.metric.base import Metric
from aetl.metric.cluster_accuracy import without_classes
from aetl.task.base import Kind
from aetl.types import Prediction


class RecallAt(Metric):
    """The share of queries with at least one of their class among the first ``neighbours``."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"retrieval"})
    higher_is_better: ClassVar[bool] = True
    rope: ClassVar[float | None] = 0.01

    def __init__(self, *, neighbours: Annotated[int, Interval(ge=1, le=10)]) -> None:
        self.neighbours = neighbours

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        return float(self.each(prediction, y).mean())

    def undefined(self, y: np.ndarray) -> str | None:
        return without_classes(y)

    def each(self, prediction: Prediction, y: np.ndarray) -> Float[np.ndarray, " N"]:
        near = prediction.value[:, : self.neighbours]
        return np.asarray((near == y[:, None]).any(1), np.float64)
