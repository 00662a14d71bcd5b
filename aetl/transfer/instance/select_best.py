"""The source examples that look most like the target, and only they.

Moore and Lewis (ACL 2010) rank by the difference of two log-likelihoods; here a domain classifier
gives that log-ratio.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from aetl.ranges import Fraction, Positive, Share
from aetl.rng import Rng
from aetl.transfer.instance.base import ImportanceWeights, Space
from aetl.transfer.instance.density_ratio import density_ratio


class SelectBest(ImportanceWeights):
    """The ``fraction`` of largest density ratio counts alike, the others not at all."""

    def __init__(
        self, *, space: Space, clip: Positive, mix: Fraction, fraction: Share, l2: Positive
    ) -> None:
        super().__init__(space=space, clip=clip, mix=mix)
        self.fraction, self.l2 = fraction, l2

    def ratio(
        self, source: Float[np.ndarray, "N F"], target: Float[np.ndarray, "M F"], rng: Rng
    ) -> Float[np.ndarray, " N"]:
        found = density_ratio(source, source, target, l2=self.l2)
        return top_fraction(found, self.fraction)


def top_fraction(score: Float[np.ndarray, " N"], fraction: float) -> Float[np.ndarray, " N"]:
    """1 for the best ``fraction`` (at least one, ties by position), 0 for the rest."""
    selected = np.zeros(len(score))
    selected[np.argsort(-score, kind="stable")[: max(1, round(fraction * len(score)))]] = 1.0
    return selected
