"""The peak signal-to-noise ratio of a reconstruction."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from aetl.metric.base import Metric
from aetl.task.base import Kind
from aetl.types import Prediction


class PeakSignalToNoise(Metric):
    """``-10 log10`` of each example's mean squared error, in decibels, the mean over the examples:
    of images, whose peak is 1. An error below 1e-12 counts as that."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"reconstruction"})
    higher_is_better: ClassVar[bool] = True
    rope: ClassVar[float | None] = 0.1

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        return float(self.each(prediction, y).mean())

    def each(self, prediction: Prediction, y: np.ndarray) -> Float[np.ndarray, " N"]:
        return np.asarray(-10.0 * np.log10(np.maximum(prediction.value, 1e-12)))
