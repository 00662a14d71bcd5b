"""The error of what was hidden and filled in."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from aetl.metric.base import Metric
from aetl.task.base import Kind
from aetl.types import Prediction


class HiddenError(Metric):
    """The root of the mean squared error over all hidden cells, in units of the data as the network
    sees it: of standardised columns 1 is as good as their mean."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"reconstruction"})
    higher_is_better: ClassVar[bool] = False
    rope: ClassVar[float | None] = None
    most_units: ClassVar[int] = 2000
    part: ClassVar[str | None] = "hidden"

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        error, number = prediction.parts["hidden"], prediction.parts["number"]
        total = float(number.sum())
        return float(np.sqrt((error * number).sum() / total)) if total else float("nan")

    def without(
        self, prediction: Prediction, y: np.ndarray, unit: Int[np.ndarray, " N"], units: int
    ) -> Float[np.ndarray, " U"]:
        number = prediction.parts["number"].astype(np.float64)
        error = prediction.parts["hidden"] * number
        left, cells = (v.sum() - np.bincount(unit, v, units) for v in (error, number))
        return np.asarray(
            np.sqrt(np.divide(left, cells, out=np.full(units, np.nan), where=cells > 0))
        )
