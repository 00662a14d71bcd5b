"""The mean over classes of the average precision (Everingham et al., 2010, PASCAL VOC)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.metrics import average_precision_score

from aetl.metric.base import Metric, columns
from aetl.task.base import Kind
from aetl.types import Prediction


class MeanAveragePrecision(Metric):
    """The area under the steps of precision over recall, mean over classes (or labels); in [0, 1].

    A class that no test example has, or all, does not count. Chance is a class's share.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"classification", "multilabel"})
    higher_is_better: ClassVar[bool] = True

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        found = [average_precision_score(truth, score) for truth, score in columns(prediction, y)]
        return float(np.mean(found)) if found else float("nan")
