"""The source's principal subspace is rotated onto the target's, then a linear head is fitted.

Fernando et al. (ICCV 2013), Unsupervised visual domain adaptation using subspace alignment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from aetl.ranges import NonNegative, Size
from aetl.task.base import Task, numpy
from aetl.transfer.base import Alignment, Part, State, TransferStrategy, View


class SubspaceAlignment(TransferStrategy):
    """Source: ``z P_S P_S' P_T``, target: ``z P_T``, both centred (algorithm 1).

    ``dim`` is at most the number of features and of examples of either domain.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})

    def __init__(self, *, l2: NonNegative, dim: Size) -> None:
        self.l2, self.dim = l2, dim

    def head(self, task: Task) -> Any:
        return task.linear_head(self.l2)

    def align(self, view: View) -> Alignment:
        source = numpy(view.features("source_labels"))
        target = numpy(view.features("target_inputs"))
        dim = min(self.dim, *source.shape, *target.shape)
        from_source, from_target = principal_axes(source, dim), principal_axes(target, dim)
        aligned = from_source @ (from_source.T @ from_target)
        here = source.mean(0)
        state = {"mean": target.mean(0), "axes": from_target}
        return Alignment(lambda z: (z - here) @ aligned, self.target_map(state), state)

    def target_map(self, state: State) -> Callable[[np.ndarray], np.ndarray]:
        return lambda z: (z - state["mean"]) @ state["axes"]


def principal_axes(x: Float[np.ndarray, "N F"], dim: int) -> Float[np.ndarray, "F d"]:
    """The first ``dim`` principal axes as orthonormal columns."""
    return np.asarray(np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:dim].T)
