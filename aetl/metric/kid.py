"""The kernel distance of samples (Bińkowski et al., 2018, arXiv:1801.01401, section 4)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from aetl.metric.base import Metric
from aetl.task.base import Kind
from aetl.task.density import DRAWN, FEATURES
from aetl.types import Prediction

ROWS = 500
"""Of the matrix of kernels that are computed at a time."""


class KernelDistance(Metric):
    """The unbiased estimate of the squared maximum mean discrepancy between the features of the
    test examples and of as many draws from the model's prior, with the kernel
    ``(a'b / F + 1)^3``; it may be below zero.

    Over all pairs at once (the paper averages over subsets of 1 000, whose mean it is). Whose
    features says ``task.encoder``.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"density"})
    higher_is_better: ClassVar[bool] = False
    part: ClassVar[str | None] = DRAWN

    def __call__(self, prediction: Prediction, y: np.ndarray) -> float:
        return kernel_distance(prediction.parts[FEATURES], prediction.parts[DRAWN])

    def without(
        self, prediction: Prediction, y: np.ndarray, unit: Int[np.ndarray, " N"], units: int
    ) -> Float[np.ndarray, " U"]:
        x, drawn = (prediction.parts[name] for name in (FEATURES, DRAWN))
        left = len(x) - np.bincount(unit, minlength=units)
        own, others = (_left(_pairs(s, s, unit, unit, units, units)) for s in (x, drawn))
        across = _left(_pairs(x, drawn, unit, unit, units, units))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(
                (own - _left_of(_diagonal(x), unit, units)) / (left * (left - 1))
                + (others - _left_of(_diagonal(drawn), unit, units)) / (left * (left - 1))
                - 2 * across / left**2
            )


def kernel_distance(x: Float[np.ndarray, "N F"], other: Float[np.ndarray, "M F"]) -> float:
    """Of two sets of features; NaN of fewer than two examples."""
    n, m = len(x), len(other)
    if min(n, m) < 2:
        return float("nan")
    one, all_ = np.zeros(n, np.int64), np.zeros(m, np.int64)
    own = _pairs(x, x, one, one, 1, 1)[0, 0] - _diagonal(x).sum()
    others = _pairs(other, other, all_, all_, 1, 1)[0, 0] - _diagonal(other).sum()
    across = _pairs(x, other, one, all_, 1, 1)[0, 0]
    return float(own / (n * (n - 1)) + others / (m * (m - 1)) - 2 * across / (n * m))


def _diagonal(x: Float[np.ndarray, "N F"]) -> Float[np.ndarray, " N"]:
    """The kernel of each example with itself."""
    x = np.asarray(x, np.float64)
    return np.asarray((np.square(x).sum(1) / x.shape[1] + 1) ** 3)


def _pairs(
    x: Float[np.ndarray, "N F"], other: Float[np.ndarray, "M F"], unit: Int[np.ndarray, " N"],
    unit_: Int[np.ndarray, " M"], units: int, units_: int,
) -> Float[np.ndarray, "U V"]:  # fmt: skip
    """The kernel's sum over the pairs of an example of one unit and one of another."""
    x, other = np.asarray(x, np.float64), np.asarray(other, np.float64)
    order = np.argsort(unit_, kind="stable")
    there, starts = np.unique(unit_[order], return_index=True)
    found = np.zeros((units, units_))
    for start in range(0, len(x), ROWS):
        rows = slice(start, start + ROWS)
        kernel = x[rows] @ other[order].T / x.shape[1] + 1
        kernel = kernel * kernel * kernel
        sums = np.zeros((len(kernel), units_))
        sums[:, there] = np.add.reduceat(kernel, starts, axis=1)
        np.add.at(found, unit[rows], sums)
    return found


def _left(pairs: Float[np.ndarray, "U U"]) -> Float[np.ndarray, " U"]:
    """The sum over all pairs without the examples of each unit on either side."""
    return np.asarray(pairs.sum() - pairs.sum(0) - pairs.sum(1) + np.diag(pairs))


def _left_of(
    each: Float[np.ndarray, " N"], unit: Int[np.ndarray, " N"], units: int
) -> Float[np.ndarray, " U"]:
    return np.asarray(each.sum() - np.bincount(unit, each, units))
