"""The unweighted mean over classes of the F1 score."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int
from sklearn.metrics import f1_score

from aetl.metric.base import Metric
from aetl.task.base import Kind
from aetl.types import Prediction


class MacroF1(Metric):
    """In [0, 1]; every class (or label) counts the same, however rare."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"classification", "multilabel"})
    higher_is_better: ClassVar[bool] = True
    rope: ClassVar[float | None] = 0.01
    most_units: ClassVar[int] = 2000

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        return float(f1_score(y, prediction.value, average="macro", zero_division=0.0))

    def without(
        self, prediction: Prediction, y: np.ndarray, unit: Int[np.ndarray, " N"], units: int
    ) -> Float[np.ndarray, " U"]:
        """From the counts of each class (or label) and unit: ``2 both / (true + predicted)``."""
        value = prediction.value
        if y.ndim == 1:
            classes = np.union1d(y, value)
            pairs = [(y == k, value == k) for k in classes]
        else:
            pairs = [(y[:, k] == 1, value[:, k] == 1) for k in range(y.shape[1])]
        scores, counted = np.zeros(units), np.zeros(units)
        for true, predicted in pairs:
            both, either = (
                counts.sum() - np.bincount(unit, counts, units)
                for counts in (true & predicted, true.astype(np.float64) + predicted)
            )
            scores += np.divide(2.0 * both, either, out=np.zeros(units), where=either > 0)
            # Of classes that nothing is left of there is no score; a label is always asked for.
            counted += (either > 0) | (y.ndim == 2)
        return np.asarray(scores / np.maximum(counted, 1.0))
