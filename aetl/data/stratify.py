"""Random orders of examples of which every prefix holds the classes in proportion."""

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Int
from torch import Tensor

from aetl.rng import Rng
from aetl.types import UserError

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
    counts = np.bincount(stratum, minlength=1)
    # Small whole numbers are put in order by counting them.
    small = stratum.astype(np.int16) if len(counts) < 2**15 else stratum
    order = shuffled[np.argsort(small[shuffled], kind="stable")]
    fraction = rank_within(stratum[order], counts) / counts[stratum[order]]
    # Ties (the first of each class, or equal classes) are broken at random, not by the class.
    ties = rng.fork("ties").permutation(len(y)).numpy()
    return order[_sorted_by(fraction, ties)]


def _sorted_by(fraction: npt.NDArray[np.float64], ties: Rows) -> Rows:
    """``lexsort((ties, fraction))`` of fractions that rise within each class: a merge of what is in
    order already, and then the few that are equal by their ``ties``."""
    order = np.argsort(fraction, kind="stable")
    same = np.diff(fraction[order]) == 0
    if same.any():
        tied = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
        run = np.insert(np.cumsum(~same), 0, 0)[tied]
        order[tied] = order[tied[np.lexsort((ties[order[tied]], run))]]
    return order


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


def held_groups(group: Int[np.ndarray, " N"], fraction: float) -> Bool[np.ndarray, " N"]:
    """Examples in whole groups that are together about ``fraction`` of all, at least one group.

    Groups are taken in the order in which they first come, which is a random one of examples in
    random order; one that would overshoot by more than it would bring nearer is passed over.
    """
    names, first, place = np.unique(group, return_index=True, return_inverse=True)
    counts = np.bincount(place)
    if len(names) < 2:
        raise UserError(
            f"group: all {len(group)} examples are of one group, which cannot be on both sides of "
            "a split; set group=null or another column"
        )
    wanted, taken = fraction * len(group), 0
    chosen: list[int] = []
    for name in np.argsort(first):
        nearer = abs(taken + counts[name] - wanted) < abs(taken - wanted)
        if nearer and len(chosen) < len(names) - 1:
            chosen.append(int(name))
            taken += int(counts[name])
    return np.isin(place, chosen or [int(np.argmin(counts))])


def parts_of_groups(group: Int[np.ndarray, " N"], parts: int) -> Int[np.ndarray, " N"]:
    """One of so many parts of nearly equal size for every example, the same for all of a group.

    The largest groups first, each to the part that is the smallest so far (of equal groups in the
    order in which they first come).
    """
    names, first, place = np.unique(group, return_index=True, return_inverse=True)
    if len(names) < parts:
        raise UserError(
            f"folds={parts}: there are only {len(names)} groups, which stay whole; "
            f"use at most {len(names)}"
        )
    counts = np.bincount(place)
    sizes, of_group = np.zeros(parts, np.int64), np.zeros(len(names), np.int64)
    for name in np.lexsort((first, -counts)):
        of_group[name] = np.argmin(sizes)
        sizes[of_group[name]] += counts[name]
    return of_group[place]
