"""Selection by the first metric on labelled target examples that training does not see."""

from __future__ import annotations

from typing import ClassVar

from aetl.ranges import Inner
from aetl.selector.base import Candidate, Selector
from aetl.transfer.base import Part


class TargetValidation(Selector):
    """Holds out ``fraction`` of the budget (at least one label) and takes the best state on it."""

    uses: ClassVar[frozenset[Part]] = frozenset({"target_labels"})
    uses_metric: ClassVar[bool] = True

    def __init__(self, *, fraction: Inner) -> None:
        self.fraction = fraction

    def held_out(self, labels: int) -> int:
        return min(labels - 1, max(1, round(self.fraction * labels)))

    def score(self, candidate: Candidate) -> float:
        return candidate.oriented(candidate.prediction("target_labels"), "target_labels")
