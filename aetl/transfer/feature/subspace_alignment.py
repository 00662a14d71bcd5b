"""The source's principal subspace is rotated onto the target's, then the head is fitted.

Fernando et al. (ICCV 2013), Unsupervised visual domain adaptation using subspace alignment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float

from aetl.head.base import Head
from aetl.head.chosen import Chosen
from aetl.ranges import Size
from aetl.task.base import Task, numpy
from aetl.transfer.base import Alignment, Part, State, TransferStrategy, View

Dim = Size | Literal["auto"]


class SubspaceAlignment(TransferStrategy):
    """Source: ``z P_S P_S' P_T``, target: ``z P_T``, both centred (algorithm 1).

    ``dim`` is at most the number of features and of examples of either domain; ``auto`` is the
    largest that ``stable_dim`` finds (the paper then chooses below it by source labels). The
    paper's classifier is the nearest neighbour: ``head=knn head.neighbours=1``.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})

    def __init__(self, *, head: Head, dim: Dim) -> None:
        self.choice = head
        self.dim: int | Literal["auto"] = dim

    def head(self, task: Task) -> Any:
        return Chosen(self.choice, task.kind)

    def align(self, view: View) -> Alignment:
        source = numpy(view.features("source_labels"))
        target = numpy(view.features("target_inputs"))
        wanted = stable_dim(source, target) if self.dim == "auto" else self.dim
        dim = min(wanted, *source.shape, *target.shape)
        from_source, from_target = principal_axes(source, dim), principal_axes(target, dim)
        aligned = from_source @ (from_source.T @ from_target)
        here = source.mean(0)
        state = {"mean": target.mean(0), "axes": from_target}
        return Alignment(lambda z: (z - here) @ aligned, self.target_map(state), state)

    def target_map(self, state: State) -> Callable[[np.ndarray], np.ndarray]:
        return lambda z: (z - state["mean"]) @ state["axes"]


def principal_axes(x: Float[np.ndarray, "N F"], dim: Dim) -> Float[np.ndarray, "F d"]:
    """The first ``dim`` principal axes as orthonormal columns."""
    return np.asarray(np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:dim].T)


def stable_dim(
    source: Float[np.ndarray, "N F"], target: Float[np.ndarray, "M F"],
    deviation: float = 1e5, failure: float = 0.1,
) -> int:  # fmt: skip
    """The largest dimension whose subspaces are stable (corollary of theorem 2), at least 1.

    With probability ``1 - failure`` the aligned similarity deviates from the true one by no more
    than ``deviation`` where the gap between the eigenvalues d and d + 1 of both covariances is at
    least ``(1 + sqrt(ln(2 / failure) / 2)) 16 d^(3/2) B / (deviation sqrt(n))``; ``B`` bounds the
    norm of an example. Both constants are the paper's.
    """
    number = min(len(source), len(target))
    size = min(number - 1, source.shape[1])
    variances = [np.linalg.svd(x - x.mean(0), compute_uv=False) ** 2 / len(x)
                 for x in (source, target)]  # fmt: skip
    gaps = np.min([-np.diff(np.append(v, 0.0))[:size] for v in variances], 0)
    norm = max(np.linalg.norm(x - x.mean(0), axis=1).max() for x in (source, target))
    dims = np.arange(1, len(gaps) + 1)
    least = (1 + np.sqrt(np.log(2 / failure) / 2)) * 16 * dims**1.5 * norm
    stable = dims[gaps >= least / (deviation * np.sqrt(number))]
    return int(stable.max()) if len(stable) else 1
