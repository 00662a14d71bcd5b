"""The area under the receiver operating characteristic (Fawcett, 2006, Patt. Rec. Letters 27)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from aetl.metric.base import Metric, columns, without_contrast
from aetl.task.base import Kind
from aetl.types import Prediction


class Auroc(Metric):
    """One class (or label) against the rest, the unweighted mean; 0.5 is chance, 1 is perfect.

    Of two classes it is the one area, and so of anomalies. A class that no test example has, or
    all, does not count.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"classification", "multilabel", "anomaly"})
    higher_is_better: ClassVar[bool] = True
    rope: ClassVar[float | None] = 0.01
    most_units: ClassVar[int] = 2000

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        areas = [roc_auc_score(truth, score) for truth, score in columns(prediction, y)]
        return float(np.mean(areas)) if areas else float("nan")

    def undefined(self, y: np.ndarray) -> str | None:
        return without_contrast(y)

    def without(
        self, prediction: Prediction, y: np.ndarray, unit: Int[np.ndarray, " N"], units: int
    ) -> Float[np.ndarray, " U"]:
        found = [_without(t.astype(bool), s, unit, units) for t, s in columns(prediction, y)]
        if any(np.isnan(areas).any() for areas in found):  # a class is gone with a unit
            return super().without(prediction, y, unit, units)
        return np.mean(found, axis=0) if found else np.full(units, np.nan)


def _without(
    truth: Bool[np.ndarray, " N"], score: Float[np.ndarray, " N"],
    unit: Int[np.ndarray, " N"], units: int,
) -> Float[np.ndarray, " U"]:  # fmt: skip
    """The area as the share of pairs in the right order (Mann and Whitney), a tie being half of
    one: without a unit, less the pairs of its examples with all others (placement values)."""
    positive, negative = score[truth], score[~truth]
    won = np.empty(len(score))
    # A rank among all less that among one's own is the number of the others that are below.
    rank = rankdata(score)
    won[truth] = rank[truth] - rankdata(positive)
    won[~truth] = len(positive) - (rank[~truth] - rankdata(negative))
    of_unit = np.bincount(unit, won, units)
    inner = _inner_pairs(truth, score, unit, units)
    num_positive = len(positive) - np.bincount(unit[truth], minlength=units)
    num_negative = len(negative) - np.bincount(unit[~truth], minlength=units)
    pairs = num_positive * num_negative
    left = won[truth].sum() - of_unit + inner
    return np.asarray(np.divide(left, pairs, out=np.full(units, np.nan), where=pairs > 0))


def _inner_pairs(
    truth: Bool[np.ndarray, " N"], score: Float[np.ndarray, " N"],
    unit: Int[np.ndarray, " N"], units: int,
) -> Float[np.ndarray, " U"]:  # fmt: skip
    """Pairs in the right order of two examples of one unit, which would be taken off twice."""
    inner = np.zeros(units)
    order = np.argsort(unit, kind="stable")
    ends = np.cumsum(np.bincount(unit, minlength=units))
    for u, rows in enumerate(np.split(order, ends[:-1])):
        mine, others = score[rows[truth[rows]]], score[rows[~truth[rows]]]
        if len(mine) and len(others):
            inner[u] = (mine[:, None] > others).sum() + 0.5 * (mine[:, None] == others).sum()
    return inner
