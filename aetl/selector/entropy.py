"""Minimal entropy of the predictions on the target (Morerio et al., ICLR 2018, 1711.10288)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from aetl.selector.base import Candidate, Selector
from aetl.task.base import Kind
from aetl.transfer.base import Part


class Entropy(Selector):
    """Takes the most certain state, without any label: also one that is certainly wrong."""

    uses: ClassVar[frozenset[Part]] = frozenset({"target_inputs"})
    kinds: ClassVar[frozenset[Kind]] = frozenset({"classification"})

    def score(self, candidate: Candidate) -> float:
        probability = candidate.prediction("target_inputs").probability
        assert probability is not None
        return -mean_entropy(probability)


def mean_entropy(probability: Float[np.ndarray, "N K"]) -> float:
    """In nats."""
    logs = np.log(np.where(probability > 0, probability, 1.0))
    return float(-(probability * logs).sum(1).mean())
