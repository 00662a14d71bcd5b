"""The density ratio by counting neighbours (Lima et al., 2008, MNRAS 390, arXiv:0801.3822)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from sklearn.neighbors import NearestNeighbors

from aetl.ranges import Count, Fraction, Positive
from aetl.rng import Rng
from aetl.transfer.instance.base import ImportanceWeights, Space


class KnnWeights(ImportanceWeights):
    """``n_S / n_T`` times the targets within reach of the ``neighbours``-th source, over those.

    With ``neighbours: null`` the square root of the number of source examples.
    """

    def __init__(
        self, *, space: Space, clip: Positive, mix: Fraction, neighbours: Count | None
    ) -> None:
        super().__init__(space=space, clip=clip, mix=mix)
        self.neighbours = neighbours

    def ratio(
        self, source: Float[np.ndarray, "N F"], target: Float[np.ndarray, "M F"], rng: Rng
    ) -> Float[np.ndarray, " N"]:
        wanted = self.neighbours or round(len(source) ** 0.5)
        return counted_ratio(source, target, min(max(1, wanted), len(source) - 1))


def counted_ratio(
    source: Float[np.ndarray, "N F"], target: Float[np.ndarray, "M F"], neighbours: int
) -> Float[np.ndarray, " N"]:
    """``(k_T / n_T) / (k_S / (n_S - 1))`` in the ball up to the ``k_S``-th other source point."""
    distances = NearestNeighbors(n_neighbors=neighbours).fit(source).kneighbors()[0]
    radius = distances[:, -1]  # kneighbors() without points leaves each point itself out
    search = NearestNeighbors().fit(target)
    counts = np.array(
        [
            len(search.radius_neighbors(x[None], radius=r, return_distance=False)[0])
            for x, r in zip(source, radius, strict=True)
        ]
    )
    return np.asarray(counts / len(target) * (len(source) - 1) / neighbours)
