"""Soft neighbourhood density (Saito, Kim, Teterwak, Sclaroff, Darrell, Saenko 2021, 2108.10860)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from aetl.ranges import Positive
from aetl.selector.base import Candidate, Selector
from aetl.selector.entropy import mean_entropy
from aetl.task.base import Kind
from aetl.transfer.base import Part


class SoftNeighborhoodDensity(Selector):
    """Takes the state with the densest neighbourhoods of target predictions; needs no label.

    The mean entropy of each example's similarities to the others (equations 2 to 4), of softmax
    outputs of unit length at a ``temperature``.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"target_inputs"})
    kinds: ClassVar[frozenset[Kind]] = frozenset({"classification"})

    def __init__(self, *, temperature: Positive) -> None:
        self.temperature = temperature

    def score(self, candidate: Candidate) -> float:
        probability = candidate.prediction("target_inputs").probability
        assert probability is not None
        return density(probability, self.temperature)


def density(probability: Float[np.ndarray, "N K"], temperature: float) -> float:
    """In nats, at most ``log(N - 1)``."""
    unit = probability / np.linalg.norm(probability, axis=1, keepdims=True)
    similarity = unit @ unit.T / temperature
    np.fill_diagonal(similarity, -np.inf)
    similarity = np.exp(similarity - similarity.max(1, keepdims=True))
    return mean_entropy(similarity / similarity.sum(1, keepdims=True))
