"""Selection by the first metric on the source's labelled validation examples."""

from __future__ import annotations

from typing import ClassVar

from aetl.selector.base import Candidate, Selector
from aetl.transfer.base import Part


class SourceValidation(Selector):
    """What can be done without any target label; biased where the domains differ."""

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels"})
    uses_metric: ClassVar[bool] = True

    def score(self, candidate: Candidate) -> float:
        return candidate.oriented(candidate.prediction("source_labels"), "source_labels")
