"""A classifier's test predictions by class, and whether its probabilities can be believed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

BINS = 15
"""As Guo et al. (2017, arXiv:1706.04599)."""


@dataclass(frozen=True)
class ClassScore:
    """Of one class (or label). None where there is nothing to divide by: no example is predicted
    as it (precision), or none is of it (recall)."""

    precision: float | None
    recall: float | None
    support: int
    """How many test examples are of it."""

    @property
    def f1(self) -> float | None:
        if self.recall is None:
            return None
        both = (self.precision or 0.0) + self.recall
        return 2 * (self.precision or 0.0) * self.recall / both if both else 0.0


@dataclass(frozen=True)
class Bin:
    """Predictions of nearly the same confidence: its mean, and the share of right ones."""

    confidence: float
    accuracy: float
    count: int


def class_scores(
    y: Int[np.ndarray, "N ..."], prediction: Int[np.ndarray, "N ..."], classes: int
) -> list[ClassScore]:
    """Of each class, or of each column of zeros and ones; examples without a label do not count."""
    if y.ndim > 1:
        pairs = zip(y.T == 1, prediction.T == 1, strict=True)
        return [_score(true, said) for true, said in pairs]
    known = y >= 0
    y, prediction = y[known], prediction[known]
    return [_score(y == k, prediction == k) for k in range(classes)]


def _score(true: np.ndarray, said: np.ndarray) -> ClassScore:
    right, of_it, as_it = int((true & said).sum()), int(true.sum()), int(said.sum())
    return ClassScore(right / as_it if as_it else None, right / of_it if of_it else None, of_it)


def reliability(
    y: Int[np.ndarray, " N"], probability: Float[np.ndarray, "N K"], bins: int = BINS
) -> list[Bin]:
    """The predicted class's probability in ``bins`` equal parts of [0, 1]; empty ones left out."""
    known = y >= 0
    y, probability = y[known], probability[known]
    confidence, right = probability.max(axis=1), probability.argmax(axis=1) == y
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return [
        Bin(float(confidence[here].mean()), float(right[here].mean()), int(here.sum()))
        for b in range(bins)
        if (here := place == b).any()
    ]


def calibration_error(bins: list[Bin]) -> float:
    """The expected calibration error: the mean distance of confidence and accuracy, by example."""
    total = sum(one.count for one in bins)
    return sum(one.count * abs(one.confidence - one.accuracy) for one in bins) / max(1, total)
