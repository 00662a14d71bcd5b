"""What a metric is: one number for predictions on a data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import numpy as np

from aetl.types import Prediction


class Metric(ABC):
    """Scores predictions; gains are oriented by ``higher_is_better``."""

    kind: ClassVar[Literal["classification", "regression"]]
    higher_is_better: ClassVar[bool]

    @abstractmethod
    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        """The score of the predictions against the targets."""
