"""The structural similarity of a reconstruction (Wang et al., IEEE TIP 13, 2004)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from aetl.metric.base import Metric
from aetl.task.base import Kind
from aetl.types import Prediction


class StructuralSimilarity(Metric):
    """The mean over the images, at most 1; under a Gaussian window of 11 pixels."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"reconstruction"})
    higher_is_better: ClassVar[bool] = True
    rope: ClassVar[float | None] = 0.01
    part: ClassVar[str | None] = "ssim"

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        return float(self.each(prediction, y).mean())

    def each(self, prediction: Prediction, y: np.ndarray) -> Float[np.ndarray, " N"]:
        return np.asarray(prediction.parts["ssim"], np.float64)
