"""What a selector is: the rule that chooses the state of training that is evaluated."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Selector(ABC):
    """Chooses a checkpoint; labels that it looks at are part of the budget."""

    @abstractmethod
    def held_out(self, labels: int) -> int:
        """How many of the budget's labels are kept from training, to select by."""
