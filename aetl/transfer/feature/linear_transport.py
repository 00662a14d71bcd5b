"""The source's features are carried onto the target's by the optimal map of normal distributions.

Knott and Smith (1984, J. Optim. Theory Appl. 43); Flamary, Lounici and Ferrari (2019),
Concentration bounds for linear Monge mapping estimation, arXiv:1905.10155.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from aetl.transfer.covariance import CovarianceAlignment, power


class LinearTransport(CovarianceAlignment):
    """``A = C_S^(-1/2) (C_S^(1/2) C_T C_S^(1/2))^(1/2) C_S^(-1/2)``, then the head.

    It gives the target's mean and covariance, as ``feature/coral_closed`` does, by the shortest
    way. ``ridge`` times the mean variance of a domain's features is added to its covariance.
    """

    def matrix(
        self, source: Float[np.ndarray, "F F"], target: Float[np.ndarray, "F F"]
    ) -> Float[np.ndarray, "F F"]:
        """The symmetric ``A`` with ``A C_S A = C_T``."""
        root, inverse = power(source, 0.5), power(source, -0.5)
        return np.asarray(inverse @ power(root @ target @ root, 0.5) @ inverse)
