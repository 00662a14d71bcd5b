"""What a metric is: one number for predictions on a data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from aetl.task.base import Kind
from aetl.types import Prediction


class Metric(ABC):
    """Scores predictions; gains are oriented by ``higher_is_better``."""

    kinds: ClassVar[frozenset[Kind]]
    higher_is_better: ClassVar[bool]

    @abstractmethod
    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        """The score of the predictions against the targets."""


def columns(prediction: Prediction, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each class or label who has it and with which probability, where some do and some not.

    Of two classes the second says all.
    """
    assert prediction.probability is not None
    probability = prediction.probability
    truth = y if y.ndim == 2 else (y[:, None] == np.arange(probability.shape[1]))
    first = 1 if y.ndim == 1 and probability.shape[1] == 2 else 0
    return [
        (truth[:, k], probability[:, k])
        for k in range(first, probability.shape[1])
        if 0 < truth[:, k].sum() < len(truth)
    ]
