"""TransRate (Huang, Huang, Rong, Yang and Wei, ICML 2022, arXiv:2106.09362)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from aetl.ranges import Positive
from aetl.score.base import Evidence, Score, centred


class TransRate(Score):
    """The coding rate of all features less that within the classes, in nats.

    ``R(Z) - sum_c n_c / n R(Z_c)`` with ``R(Z) = 1/2 log det(I + Z'Z / (n epsilon))``: the mutual
    information of features and classes at the distortion ``epsilon``. The features are centred and
    scaled to a total variance of 1, so that layers of different scale compare; the paper leaves
    them as they are.
    """

    def __init__(self, *, epsilon: Positive) -> None:
        self.epsilon = epsilon

    def __call__(self, evidence: Evidence) -> float:
        z, y = centred(evidence.features), evidence.y
        z = z / (np.sqrt(np.square(z).sum() / len(z)) or 1.0)
        within = sum(
            np.mean(y == label) * coding_rate(z[y == label], self.epsilon) for label in np.unique(y)
        )
        return float(coding_rate(z, self.epsilon) - within)


def coding_rate(z: Float[np.ndarray, "N F"], epsilon: float) -> float:
    """Equation 3, by the smaller of the two Gram matrices."""
    gram = z @ z.T if len(z) <= z.shape[1] else z.T @ z
    return float(0.5 * np.linalg.slogdet(np.eye(len(gram)) + gram / (len(z) * epsilon))[1])
