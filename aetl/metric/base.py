"""What a metric is: one number for predictions on a data set, and each example's part in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from aetl.task.base import Kind
from aetl.types import Prediction


class Metric(ABC):
    """Scores predictions; gains are oriented by ``higher_is_better``."""

    kinds: ClassVar[frozenset[Kind]]
    higher_is_better: ClassVar[bool]
    part: ClassVar[str | None] = None
    """The part of a prediction that it scores, where it is not the value."""
    rope: ClassVar[float | None] = None
    """Gains up to this make no practical difference (region of practical equivalence), where the
    config's ``rope`` says nothing else. None where nobody can say it for all data: then no gain is
    called equivalent unless ``rope`` is given. Scores between 0 and 1 have 0.01."""
    most_units: ClassVar[int] = 200
    """Into how many groups of examples ``without`` cuts a large test set: 2 000 where it is fast,
    fewer where the whole score is computed as many times."""

    @abstractmethod
    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        """The score of the predictions against the targets."""

    def undefined(self, y: np.ndarray) -> str | None:
        """Why no prediction could be scored against these targets; None where all can."""
        return None

    def each(self, prediction: Prediction, y: np.ndarray) -> Float[np.ndarray, " N"] | None:
        """The value of each example where the score is their mean; None where it is no mean."""
        return None

    def without(
        self, prediction: Prediction, y: np.ndarray, unit: Int[np.ndarray, " N"], units: int
    ) -> Float[np.ndarray, " U"]:
        """The score without the examples of each unit, ``unit`` being those of the examples."""
        kept: list[Bool[np.ndarray, " N"]] = [unit != u for u in range(units)]
        return np.array([self(prediction.subset(rows), y[rows]) for rows in kept])


def mean_without(
    each: Float[np.ndarray, " N"], unit: Int[np.ndarray, " N"], units: int
) -> Float[np.ndarray, " U"]:
    """The mean of the values without those of each unit."""
    left = len(each) - np.bincount(unit, minlength=units)
    return np.asarray((each.sum() - np.bincount(unit, each, units)) / left)


def columns(prediction: Prediction, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each class or label who has it and with which probability, where some do and some not.

    Of two classes the second says all; of anomalies it is the score.
    """
    if prediction.probability is None:
        return [(y == 1, prediction.value)] if 0 < (y == 1).sum() < len(y) else []
    probability = prediction.probability
    truth = y if y.ndim == 2 else (y[:, None] == np.arange(probability.shape[1]))
    first = 1 if y.ndim == 1 and probability.shape[1] == 2 else 0
    return [
        (truth[:, k], probability[:, k])
        for k in range(first, probability.shape[1])
        if 0 < truth[:, k].sum() < len(truth)
    ]


def without_contrast(y: np.ndarray) -> str | None:
    """Why nothing can be ranked: no class or label that some examples have and some have not."""
    truth = y if y.ndim == 2 else (y[:, None] == np.unique(y))
    if ((truth.sum(0) > 0) & (truth.sum(0) < len(truth))).any():
        return None
    what = "label" if y.ndim == 2 else "class"
    return f"no {what} that some of the {len(y)} test examples have and others have not"
