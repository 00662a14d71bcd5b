"""Random orders of examples of which every prefix holds the classes in proportion."""

import numpy as np
import numpy.typing as npt
from jaxtyping import Int
from torch import Tensor

from aetl.rng import Rng

Rows = npt.NDArray[np.int64]

# Regression targets are stratified by this many bins of equal count.
BINS = 10


def stratified_order(y: Tensor, rng: Rng, classes: tuple[str, ...]) -> Int[np.ndarray, " N"]:
    """A random order of all examples of which every prefix is stratified.

    A prefix of n examples holds ``ceil(n' N_k / N)`` of class k for one n' <= n: one of each class
    first, then each in proportion (the j-th of a class comes at the fraction j / N_k). Regression
    targets are stratified by bins of their ranks, and what has no label counts as one class more;
    without any, or with several for an example, the order is plainly random.
    """
    shuffled = rng.fork("shuffle").permutation(len(y)).numpy()
    stratum = _strata(y, shuffled, classes)
    order = shuffled[np.argsort(stratum[shuffled], kind="stable")]
    counts = np.bincount(stratum, minlength=1)
    fraction = rank_within(stratum[order], counts) / counts[stratum[order]]
    # Ties (the first of each class, or equal classes) are broken at random, not by the class.
    ties = rng.fork("ties").permutation(len(y)).numpy()
    return order[np.lexsort((ties, fraction))]


def _strata(y: Tensor, shuffled: Rows, classes: tuple[str, ...]) -> Rows:
    """The stratum of every example: its class, its bin, or 0 where there are no labels."""
    values = y.numpy()
    strata = np.zeros(len(values), np.int64)
    if values.ndim == 2:  # nearly every set of labels may be the only one of its kind
        return strata
    if classes:
        return np.where(values < 0, len(classes), values).astype(np.int64)
    if y.is_floating_point():
        # Over the shuffled rows, so that equal targets fall into either bin at random.
        by_value = shuffled[np.argsort(values[shuffled], kind="stable")]
        number = int((~np.isnan(values)).sum())  # NaNs are sorted to the end
        strata[by_value[:number]] = np.arange(number) * BINS // max(number, 1)
        strata[by_value[number:]] = BINS
    return strata


def rank_within(grouped: Rows, counts: Rows) -> Rows:
    """0, 1, 2, ... within each group of rows that are sorted by group."""
    starts = np.cumsum(counts) - counts
    return np.arange(len(grouped)) - starts[grouped]
