"""Source examples count by how well an autoencoder of the target reconstructs them.

After Tan et al. (2017), Distant domain transfer learning (AAAI), which selects source examples by
their reconstruction error; here the autoencoder is the linear one, in closed form.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from aetl.ranges import Fraction, Positive, Size
from aetl.rng import Rng
from aetl.transfer.instance.base import ImportanceWeights, Space


class ReconstructionError(ImportanceWeights):
    """``exp(-e / (temperature * median e_T))``: PCA of the target keeps ``dim`` components.

    No density ratio: weights are relative, and fall with the squared distance from the subspace.
    """

    def __init__(
        self, *, space: Space, clip: Positive, mix: Fraction, dim: Size, temperature: Positive
    ) -> None:
        super().__init__(space=space, clip=clip, mix=mix)
        self.dim, self.temperature = dim, temperature

    def ratio(
        self, source: Float[np.ndarray, "N F"], target: Float[np.ndarray, "M F"], rng: Rng
    ) -> Float[np.ndarray, " N"]:
        of_source, of_target = errors(source, target, self.dim), errors(target, target, self.dim)
        scale = self.temperature * max(float(np.median(of_target)), 1e-12)
        return np.asarray(np.exp(-(of_source - of_source.min()) / scale))


def errors(
    x: Float[np.ndarray, "N F"], target: Float[np.ndarray, "M F"], dim: int
) -> Float[np.ndarray, " N"]:
    """Squared error of ``x`` under the target's ``dim`` principal components (at most half)."""
    mean = target.mean(0)
    axes = np.linalg.svd(target - mean, full_matrices=False)[2]
    kept = axes[: max(1, min(dim, x.shape[1] // 2))]
    rest = (x - mean) - (x - mean) @ kept.T @ kept
    return np.asarray((rest**2).sum(1))
