"""Components on which the domains' means agree and the data varies, then a head.

Pan et al. (2011), Domain adaptation via transfer component analysis, IEEE TNN 22(2), equation 6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float
from scipy.linalg import eigh
from scipy.spatial.distance import cdist, pdist

from aetl.head.base import Head
from aetl.head.chosen import Chosen
from aetl.ranges import Positive, Size
from aetl.task.base import Task, numpy
from aetl.transfer.base import Alignment, Part, State, TransferStrategy, View

Kernel = Literal["linear", "gaussian", "laplacian"]


class Tca(TransferStrategy):
    """``dim`` transfer components of at most ``landmarks`` examples of each domain.

    Other points go through their kernel values with the landmarks. The paper's kernel is the
    Laplacian ``exp(-|x - y| / width)``, of texts the linear one; the width is the median distance
    between landmarks.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})

    def __init__(
        self, *, head: Head, dim: Size, mu: Positive, kernel: Kernel, landmarks: Size
    ) -> None:
        self.choice, self.dim, self.mu, self.kernel = head, dim, mu, kernel
        self.landmarks = landmarks

    def head(self, task: Task) -> Any:
        return Chosen(self.choice, task.kind)

    def align(self, view: View) -> Alignment:
        source = numpy(view.features("source_labels"))
        target = numpy(view.features("target_inputs"))
        source = source[view.rng.fork("source").permutation(len(source))[: self.landmarks].numpy()]
        target = target[view.rng.fork("target").permutation(len(target))[: self.landmarks].numpy()]
        points = np.concatenate([source, target])
        width = float(np.median(pdist(points))) or 1.0
        values = self._kernel(points, points, width)
        components = transfer_components(values, len(source), self.mu, self.dim)
        state = {"points": points, "width": np.array(width), "components": components}
        carry = self.target_map(state)
        return Alignment(carry, carry, state)

    def target_map(self, state: State) -> Callable[[np.ndarray], np.ndarray]:
        points, width, components = state["points"], float(state["width"]), state["components"]
        return lambda z: self._kernel(z, points, width) @ components

    def _kernel(self, z: np.ndarray, points: np.ndarray, width: float) -> np.ndarray:
        if self.kernel == "linear":
            return np.asarray(z @ points.T)
        if self.kernel == "laplacian":
            return np.asarray(np.exp(-cdist(z, points) / width))
        return np.asarray(np.exp(-cdist(z, points, "sqeuclidean") / (2 * width**2)))


def transfer_components(
    kernel: Float[np.ndarray, "L L"], num_source: int, mu: float, dim: int
) -> Float[np.ndarray, "L d"]:
    """``W`` that maximises ``tr(W' K H K W)`` under ``W' (K L K + mu I) W = I``."""
    size = len(kernel)
    sign = np.full(size, -1.0 / (size - num_source))
    sign[:num_source] = 1.0 / num_source
    mean_gap = kernel @ sign
    scatter = kernel @ (kernel - kernel.mean(0))
    constraint = np.outer(mean_gap, mean_gap) + mu * np.eye(size)
    dim = min(dim, size)
    vectors = eigh((scatter + scatter.T) / 2, constraint, subset_by_index=(size - dim, size - 1))[1]
    return np.asarray(vectors[:, ::-1])
