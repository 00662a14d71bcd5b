"""Deep embedded validation (You, Wang, Long and Jordan, ICML 2019)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from aetl.ranges import Positive
from aetl.selector.base import Candidate, Selector
from aetl.selector.importance_weighted import latent_ratio
from aetl.transfer.base import Part


class DEV(Selector):
    """The least weighted risk of labelled source validation examples, with a control variate.

    The weights are density ratios in each state's feature space; their mean is known to be 1, which
    takes variance out of the estimate (algorithm 1).
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "source_inputs", "target_inputs"})

    def __init__(self, *, l2: Positive) -> None:
        self.l2 = l2

    def score(self, candidate: Candidate) -> float:
        return -controlled_risk(latent_ratio(candidate, self.l2), candidate.losses("source_labels"))


def controlled_risk(weight: Float[np.ndarray, " N"], loss: Float[np.ndarray, " N"]) -> float:
    """``mean(w l) + eta mean(w) - eta`` with ``eta = -Cov(w l, w) / Var(w)``."""
    weighted = weight * loss
    spread = float(np.var(weight))
    covariance = float(np.mean((weighted - weighted.mean()) * (weight - weight.mean())))
    eta = -covariance / spread if spread > 0 else 0.0
    return float(weighted.mean() + eta * (weight.mean() - 1.0))
