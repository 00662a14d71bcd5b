"""Importance-weighted validation (Sugiyama, Krauledat and Mueller, JMLR 8, 2007)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from aetl.ranges import Positive
from aetl.selector.base import Candidate, Selector
from aetl.task.base import numpy
from aetl.transfer.base import Part


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
        return ratio_at(*inputs, l2=self.l2)


def latent_ratio(candidate: Candidate, l2: float) -> Float[np.ndarray, " N"]:
    """The density ratio of this state's features at the labelled source examples."""
    source, target = candidate.features("source_inputs"), candidate.features("target_inputs")
    return ratio_at(candidate.features("source_labels"), source, target, l2=l2)


def ratio_at(
    points: Float[np.ndarray, "P F"], source: Float[np.ndarray, "N F"],
    target: Float[np.ndarray, "M F"], *, l2: float,
) -> Float[np.ndarray, " P"]:  # fmt: skip
    """``p_target / p_source`` at ``points``: ``N / M`` times the odds of a domain classifier."""
    domain = np.repeat([0, 1], [len(source), len(target)])
    logistic = LogisticRegression(C=1.0 / l2, max_iter=10_000, tol=1e-9)
    model = make_pipeline(StandardScaler(), logistic)
    model.fit(np.concatenate([source, target]), domain)
    return np.asarray(np.exp(model.decision_function(points)) * len(source) / len(target))
