"""Gaussian Bhattacharyya coefficient of the classes (Pandy et al., CVPR 2022, 2111.12780)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float

from aetl.ranges import Size
from aetl.score.base import Evidence, Score, coordinates

FLOOR = 1e-4
"""Least variance of a class, as a share of the mean variance: a class may have one example."""


class GBC(Score):
    """Minus the sum of the coefficients of all ordered pairs of classes: 0 where none overlap.

    Each class is a Gaussian on the leading ``dims`` principal coordinates; ``spherical`` covariance
    is what the paper recommends.
    """

    def __init__(self, *, dims: Size, covariance: Literal["spherical", "diagonal"]) -> None:
        self.dims, self.covariance = dims, covariance

    def __call__(self, evidence: Evidence) -> float:
        x = coordinates(evidence.features, self.dims)
        parts = [x[evidence.y == label] for label in np.unique(evidence.y)]
        means = np.stack([part.mean(0) for part in parts])
        variances = np.stack([part.var(0) for part in parts])
        if self.covariance == "spherical":
            variances = np.broadcast_to(variances.mean(1, keepdims=True), variances.shape)
        variances = np.maximum(variances, FLOOR * float(x.var(0).mean()) or 1.0)
        overlap = np.exp(-bhattacharyya(means, variances))
        return float(len(parts) - overlap.sum())  # less the diagonal, whose coefficients are 1


def bhattacharyya(
    means: Float[np.ndarray, "K F"], variances: Float[np.ndarray, "K F"]
) -> Float[np.ndarray, "K K"]:
    """The distance of each pair of Gaussians with diagonal covariance (equation 2)."""
    both = 0.5 * (variances[:, None] + variances)
    apart = np.square(means[:, None] - means) / both
    logs = np.log(variances)
    shape = np.log(both) - 0.5 * (logs[:, None] + logs)
    return np.asarray((0.125 * apart + 0.5 * shape).sum(2))
