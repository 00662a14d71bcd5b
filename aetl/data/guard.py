"""The guard that keeps the target's test examples out of pretraining."""

import numpy as np
from jaxtyping import Int

from aetl.data.base import Examples
from aetl.types import UserError

# Published sets hold a few copies of their own test examples; more than that is a mistake.
TOLERATED = 0.01


def refuse_overlap(
    source_pool: Examples, source_index: Int[np.ndarray, " n"], target_test: Examples
) -> tuple[Int[np.ndarray, " m"], int]:
    """The rows of ``source_index`` that are not target test examples, and how many were left out.

    Examples are known by their identity before the shift, so a rotated copy counts as a copy. Where
    the source holds at most 1 % of the target's test examples, those rows are left out (so nothing
    leaks in either case); where it holds more, the two were not meant to be used together.

    Raises ``UserError`` with the count and the remedy.
    """
    rows = np.asarray(source_index)
    leaks = np.isin(source_pool.identity[rows], target_test.identity)
    held = np.isin(target_test.identity, source_pool.identity[rows]).sum()
    if held > TOLERATED * len(target_test):
        raise UserError(
            f"source: holds {held} of the {len(target_test)} test examples of the target, which "
            "pretraining would see; give both the same split_seed and test_fraction, or take "
            "them out of the source"
        )
    return rows[~leaks], int(leaks.sum())
