"""What average precisions share: the area under the steps of precision over recall."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.metrics import average_precision_score

from aetl.metric.base import Metric, columns, without_contrast
from aetl.types import Prediction


class PrecisionOverRecall(Metric):
    """Of the one ranking that there is, or the mean over classes (or labels)."""

    higher_is_better: ClassVar[bool] = True
    rope: ClassVar[float | None] = 0.01
    most_units: ClassVar[int] = 2000

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        found = [average_precision_score(truth, score) for truth, score in columns(prediction, y)]
        return float(np.mean(found)) if found else float("nan")

    def undefined(self, y: np.ndarray) -> str | None:
        return without_contrast(y)

    def without(
        self, prediction: Prediction, y: np.ndarray, unit: Int[np.ndarray, " N"], units: int
    ) -> Float[np.ndarray, " U"]:
        if units < len(unit):
            return super().without(prediction, y, unit, units)
        found = [without_each(t.astype(bool), s) for t, s in columns(prediction, y)]
        if any(np.isnan(scores).any() for scores in found):  # a class is gone with an example
            return super().without(prediction, y, unit, units)
        scores = np.mean(found, axis=0) if found else np.full(units, np.nan)
        left = np.empty(units)
        left[unit] = scores
        return left


def without_each(
    truth: Bool[np.ndarray, " N"], score: Float[np.ndarray, " N"]
) -> Float[np.ndarray, " N"]:
    """The average precision without each example, in closed form.

    It is the sum over thresholds t of (positives at t) / P * TP_t / N_t, with TP_t of the N_t
    examples at or above t positive. An example less changes its own term and those of all lower
    thresholds, by one in each count.
    """
    values, place = np.unique(-score, return_inverse=True)  # from the highest score on
    at = np.bincount(place, minlength=len(values)).astype(np.float64)
    hits = np.bincount(place, truth, len(values))
    number, true = at.cumsum(), hits.cumsum()
    positives = true[-1]
    before = np.concatenate([[0.0], (hits * true / number).cumsum()[:-1]])

    def below(less: float) -> np.ndarray:
        """The terms of the lower thresholds with one example less, ``less`` of it a positive."""
        rest = number - 1.0
        terms = np.divide(hits * (true - less), rest, out=np.zeros_like(rest), where=rest > 0)
        return np.concatenate([terms[::-1].cumsum()[::-1][1:], [0.0]])

    scores = np.empty(len(score))
    for less in (0.0, 1.0):
        rest = number - 1.0
        own = (hits - less) * (true - less)
        own = np.divide(own, rest, out=np.zeros_like(rest), where=rest > 0)
        left = positives - less
        total = before + own + below(less)
        mine = truth == bool(less)
        scores[mine] = (total / left)[place[mine]] if left else np.nan
    # Without the only negative example the class is everybody's and does not count.
    if len(score) - positives == 1:
        scores[~truth] = np.nan
    return scores
