"""Proxy A-distance between the domains (Ben-David et al., NeurIPS 2006)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from aetl.head.chosen import dealt
from aetl.ranges import Folds, Positive
from aetl.score.base import Evidence, Kind, Score


class ADistance(Score):
    """``2 (1 - 2 error)`` of telling source from target: 0 where they are alike, at most 2.

    The error is a logistic regression's on held-out examples, the mean of both domains' errors, so
    that their sizes do not matter; it is held below one half. Needs no labels.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"classification", "regression"})
    higher_is_better: ClassVar[bool] = False

    def __init__(self, *, folds: Folds, l2: Positive) -> None:
        self.folds, self.l2 = folds, l2

    def __call__(self, evidence: Evidence) -> float:
        x = np.concatenate([evidence.source, evidence.target])
        domain = np.repeat([0, 1], [len(evidence.source), len(evidence.target)])
        fold, wrong = dealt(domain, self.folds), np.empty(len(x), dtype=bool)
        for number in np.unique(fold):
            out = fold == number
            logistic = LogisticRegression(C=1.0 / self.l2, max_iter=1000, class_weight="balanced")
            model = make_pipeline(StandardScaler(), logistic).fit(x[~out], domain[~out])
            wrong[out] = model.predict(x[out]) != domain[out]
        error = 0.5 * (wrong[domain == 0].mean() + wrong[domain == 1].mean())
        return float(2.0 * (1.0 - 2.0 * min(error, 0.5)))
