"""The density ratio of least squared error (Kanamori, Hido and Sugiyama, JMLR 10, 2009)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from aetl.ranges import Fraction, Positive, Size
from aetl.rng import Rng
from aetl.transfer.instance.base import ImportanceWeights, Space
from aetl.transfer.instance.rulsif import least_squares_ratio


def clipped(theta: Float[np.ndarray, " C"]) -> Float[np.ndarray, " C"]:
    return np.asarray(np.maximum(theta, 0.0))


class Ulsif(ImportanceWeights):
    """Unconstrained least-squares importance fitting: ``instance/rulsif`` with ``alpha`` 0.

    Negative coefficients become 0 (equation 14 of the paper), where ``rulsif`` clips the ratio.
    Width and ridge are chosen over five folds, not by the paper's leave-one-out formula.
    """

    def __init__(self, *, space: Space, clip: Positive, mix: Fraction, centres: Size) -> None:
        super().__init__(space=space, clip=clip, mix=mix)
        self.centres = centres

    def ratio(
        self, source: Float[np.ndarray, "N F"], target: Float[np.ndarray, "M F"], rng: Rng
    ) -> Float[np.ndarray, " N"]:
        return least_squares_ratio(source, target, 0.0, self.centres, rng, clipped)
