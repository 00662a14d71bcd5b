"""The guard that keeps the target's test examples out of pretraining."""

from typing import Literal

import numpy as np
from jaxtyping import Int

from aetl.data.base import Examples
from aetl.types import UserError

# Published sets hold a few copies of their own test examples; more than that is a mistake.
TOLERATED = 0.01


Duplicates = Literal["refuse", "drop", "keep"]


def refuse_overlap(
    source_pool: Examples,
    source_index: Int[np.ndarray, " n"],
    target_test: Examples,
    duplicates: Duplicates = "refuse",
) -> tuple[Int[np.ndarray, " m"], int]:
    """The rows of ``source_index`` that are not target test examples, and how many were left out.

    Examples are known by their identity before the shift, so a rotated copy counts as a copy. Where
    the source holds at most 1 % of the target's test examples, those rows are left out (so nothing
    leaks in either case); where it holds more, the two were not meant to be used together. Data
    with few different rows has copies of its own: with ``drop`` they are all left out, with
    ``keep`` none is.

    Raises ``UserError`` with the count and the remedy.
    """
    rows = np.asarray(source_index)
    if duplicates == "keep":
        return rows, 0
    leaks = np.isin(source_pool.identity[rows], target_test.identity)
    held = np.isin(target_test.identity, source_pool.identity[rows]).sum()
    if duplicates == "refuse" and held > TOLERATED * len(target_test):
        raise UserError(
            f"source: holds {held} of the {len(target_test)} test examples of the target, which "
            "pretraining would see; give both the same split_seed and test_fraction, or take "
            "them out of the source (duplicates=drop does; duplicates=keep leaves them in)"
        )
    if leaks.all() and len(rows):
        raise UserError(
            f"duplicates={duplicates}: all {len(rows)} source examples are test examples of the "
            "target, too, so none is left; use other data, or duplicates=keep"
        )
    return rows[~leaks], int(leaks.sum())
