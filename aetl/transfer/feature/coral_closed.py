"""The source's features take on the target's covariance, then a head is fitted on them.

Sun, Feng and Saenko (2016), Return of frustratingly easy domain adaptation, arXiv:1511.05547.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from aetl.transfer.covariance import CovarianceAlignment, power


class CoralClosed(CovarianceAlignment):
    """Algorithm 1: whiten with ``C_S + ridge I``, colour with ``C_T + ridge I``.

    ``ridge`` is a multiple of the mean variance of the domain's features: 1 is the paper's, whose
    features are standardised. Departs from it in that the mean is moved too.
    """

    def matrix(
        self, source: Float[np.ndarray, "F F"], target: Float[np.ndarray, "F F"]
    ) -> Float[np.ndarray, "F F"]:
        """``A = C_S^(-1/2) C_T^(1/2)``, so ``A' C_S A = C_T``."""
        return np.asarray(power(source, -0.5) @ power(target, 0.5))
