"""Source examples count by the density that the target has where they lie.

A kernel density estimate (Parzen, Annals of Mathematical Statistics 33, 1962) or a mixture of
Gaussians by EM (Dempster, Laird and Rubin, JRSS B 39, 1977) of the target's latents.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

from aetl.ranges import Fraction, Positive, Size
from aetl.rng import Rng, key_seed
from aetl.transfer.instance.base import ImportanceWeights, Space

Density = Literal["gmm", "kde"]


class LatentDensity(ImportanceWeights):
    """``p_T(z)^(1 / temperature)`` at the source points: relative weights, no density ratio.

    ``temperature: null`` is the number of dimensions, since log-densities grow with it. The width
    of the kernels is Scott's, ``M^(-1 / (F + 4))`` on standardised coordinates; the mixture has
    ``components`` with full covariances.
    """

    def __init__(
        self,
        *,
        space: Space,
        clip: Positive,
        mix: Fraction,
        density: Density,
        components: Size,
        temperature: Positive | None,
    ) -> None:
        super().__init__(space=space, clip=clip, mix=mix)
        self.density: Density = density
        self.components, self.temperature = components, temperature

    def ratio(
        self, source: Float[np.ndarray, "N F"], target: Float[np.ndarray, "M F"], rng: Rng
    ) -> Float[np.ndarray, " N"]:
        if self.density == "kde":
            found = KernelDensity(bandwidth="scott").fit(target).score_samples(source)
        else:
            found = mixture(target, self.components, rng).score_samples(source)
        return np.asarray(np.exp((found - found.max()) / (self.temperature or source.shape[1])))


def mixture(x: Float[np.ndarray, "N F"], components: int, rng: Rng) -> GaussianMixture:
    """At most one component for each example; variances at least a thousandth."""
    return GaussianMixture(
        min(components, len(x)), reg_covar=1e-3, random_state=key_seed(*rng.key) % 2**32
    ).fit(x)
