"""Mutual information gap (Chen, Li, Grosse and Duvenaud, 2018, arXiv:1802.04942, equation 6)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge
from jaxtyping import Float, Int

from aetl.score.factors import FactorScore, gap


class MIG(FactorScore):
    """The lead of the most informative code over the second, in units of the factor's entropy.

    Mean over the factors. Codes are cut into ``bins`` equal ones, as Locatello et al. (2019,
    arXiv:1811.12359) do; the paper takes the posterior's samples.
    """

    def __init__(self, *, bins: Annotated[int, Ge(2)]) -> None:
        self.bins = bins

    def of(
        self, codes: Float[np.ndarray, "N Z"], factors: Int[np.ndarray, "N K"],
        names: tuple[str, ...],
    ) -> float:  # fmt: skip
        low, width = codes.min(0), np.ptp(codes, 0)
        cut = (codes - low) / np.where(width > 0, width, 1.0) * self.bins
        cut = np.minimum(cut.astype(np.int64), self.bins - 1)
        shares = np.zeros((codes.shape[1], factors.shape[1]))
        for k, factor in enumerate(factors.T):
            entropy = _entropy(np.bincount(factor - factor.min()))
            for j, code in enumerate(cut.T):
                shares[j, k] = _information(code, factor - factor.min()) / entropy
        return gap(shares)


def _information(a: Int[np.ndarray, " N"], b: Int[np.ndarray, " N"]) -> float:
    """``H(a) + H(b) - H(a, b)``."""
    joint = np.bincount(a * (b.max() + 1) + b)
    return _entropy(np.bincount(a)) + _entropy(np.bincount(b)) - _entropy(joint)


def _entropy(counts: Int[np.ndarray, " V"]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
