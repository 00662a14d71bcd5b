"""No selection: the state at the end of a schedule fixed in advance."""

from __future__ import annotations

from aetl.selector.base import Selector


class Last(Selector):
    """Trains on the whole budget and takes the last state."""

    def held_out(self, labels: int) -> int:
        return 0
