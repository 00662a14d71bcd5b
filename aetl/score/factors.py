"""Scores of disentanglement: codes beside the factors that data were made from."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from aetl.score.base import Evidence, Kind, Score


class FactorScore(Score):
    """Not defined (NaN) of data whose factors nobody knows."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"classification", "regression"})

    def __call__(self, evidence: Evidence) -> float:
        if evidence.factors is None or evidence.made is None:
            return float("nan")
        varies = evidence.factors.min(0) < evidence.factors.max(0)
        names = np.array(evidence.factor_names)[varies]
        return self.of(evidence.made, evidence.factors[:, varies], tuple(names.tolist()))

    @abstractmethod
    def of(
        self, codes: Float[np.ndarray, "N Z"], factors: Int[np.ndarray, "N K"],
        names: tuple[str, ...],
    ) -> float:  # fmt: skip
        """From 0 to 1, for factors that vary."""


def gap(scores: Float[np.ndarray, "Z K"]) -> float:
    """The mean over factors of the lead of the best code over the second best (0: none)."""
    ranked = np.sort(np.concatenate([scores, np.zeros((2, scores.shape[1]))]), 0)
    return float((ranked[-1] - ranked[-2]).mean())
