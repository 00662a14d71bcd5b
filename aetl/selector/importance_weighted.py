"""Importance-weighted validation (Sugiyama, Krauledat and Mueller, JMLR 8, 2007)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from aetl.ranges import Positive
from aetl.selector.base import Candidate, Selector
from aetl.task.base import numpy
from aetl.transfer.base import Part
from aetl.transfer.instance.density_ratio import density_ratio


class ImportanceWeighted(Selector):
    """The least ``mean(w loss)`` over labelled source validation examples (equation 8).

    ``w = p_target / p_source`` by a logistic regression between the domains with an L2 penalty of
    strength ``l2``, on the ``input`` (once, as in the paper) or on each state's ``latent``.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "source_inputs", "target_inputs"})

    def __init__(self, *, space: Literal["input", "latent"], l2: Positive) -> None:
        self.space, self.l2 = space, l2

    def score(self, candidate: Candidate) -> float:
        if self.space == "input":
            weight = candidate.fixed("weight", lambda: self._input_ratio(candidate))
        else:
            weight = latent_ratio(candidate, self.l2)
        return -float(np.mean(weight * candidate.losses("source_labels")))

    def _input_ratio(self, candidate: Candidate) -> Float[np.ndarray, " N"]:
        parts: tuple[Part, ...] = ("source_labels", "source_inputs", "target_inputs")
        inputs = (numpy(candidate.examples(part).inputs().flatten(1)) for part in parts)
        return density_ratio(*inputs, l2=self.l2)


def latent_ratio(candidate: Candidate, l2: float) -> Float[np.ndarray, " N"]:
    """The density ratio of this state's features at the labelled source examples."""
    source, target = candidate.features("source_inputs"), candidate.features("target_inputs")
    return density_ratio(candidate.features("source_labels"), source, target, l2=l2)
