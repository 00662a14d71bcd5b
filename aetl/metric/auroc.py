"""The area under the receiver operating characteristic (Fawcett, 2006, Patt. Rec. Letters 27)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.metrics import roc_auc_score

from aetl.metric.base import Metric, columns
from aetl.task.base import Kind
from aetl.types import Prediction


class Auroc(Metric):
    """One class (or label) against the rest, the unweighted mean; 0.5 is chance, 1 is perfect.

    Of two classes it is the one area. A class that no test example has, or all, does not count.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"classification", "multilabel"})
    higher_is_better: ClassVar[bool] = True

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        areas = [roc_auc_score(truth, score) for truth, score in columns(prediction, y)]
        return float(np.mean(areas)) if areas else float("nan")
