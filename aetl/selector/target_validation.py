"""Selection by the first metric on labelled target examples that training does not see."""

from __future__ import annotations

from aetl.selector.base import Selector


class TargetValidation(Selector):
    """Holds out ``fraction`` of the budget (at least one label) and takes the best state on it."""

    def __init__(self, *, fraction: float) -> None:
        self.fraction = fraction

    def held_out(self, labels: int) -> int:
        return min(labels - 1, max(1, round(self.fraction * labels)))
