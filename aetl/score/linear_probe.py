"""The config's kind of linear probe on the labelled target examples, cross-validated."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from aetl.head.base import Head
from aetl.head.chosen import Chosen, dealt
from aetl.ranges import Folds
from aetl.score.base import Evidence, Kind, Score, agreement


class LinearProbe(Score):
    """Accuracy of ``head``, or R^2, on the examples held out in ``folds`` folds.

    What the head leaves open is chosen on each training part alone.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"classification", "regression"})

    def __init__(self, *, folds: Folds, head: Head) -> None:
        self.folds, self.head = folds, head

    def __call__(self, evidence: Evidence) -> float:
        x, y = evidence.features, evidence.y
        kind: Kind = "regression" if np.issubdtype(y.dtype, np.floating) else "classification"
        fold, predicted = dealt(y, self.folds), np.empty_like(y)
        for number in np.unique(fold):
            out = fold == number
            kept, new, weight = x[~out], x[out], np.ones(int((~out).sum()))
            fitted = Chosen(self.head, kind).fit(kept, y[~out], weight)
            if kind == "regression":
                predicted[out] = fitted.predict(new)
            else:
                predicted[out] = fitted.classes_[fitted.predict_proba(new).argmax(1)]
        return agreement(predicted, y)
