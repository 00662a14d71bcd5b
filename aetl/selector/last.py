"""No selection: the state at the end of a schedule fixed in advance."""

from __future__ import annotations

from typing import ClassVar, get_args

from aetl.selector.base import Candidate, Selector
from aetl.types import Kind


class Last(Selector):
    """Trains on the whole budget and takes the last state."""

    kinds: ClassVar[frozenset[Kind]] = frozenset(get_args(Kind))

    def score(self, candidate: Candidate) -> None:
        return None
