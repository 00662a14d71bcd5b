"""The head trains first, then one layer more at a time, from the top down.

Howard and Ruder (2018), ULMFiT, arXiv:1801.06146, section 3.3.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar

from annotated_types import Interval
from typing_extensions import Doc

from aetl.ranges import Fraction
from aetl.transfer.base import Group, TransferStrategy
from aetl.transfer.depth import by_depth, head_parameters
from aetl.transfer.network import Network
from aetl.types import DECODED, SUPERVISED, Kind


class GradualUnfreezing(TransferStrategy):
    """Of ``L`` layers the one ``k`` below the head wakes at ``k / L * unfrozen_by`` of the steps.

    From there its rate warms up over the fraction ``warmup`` of the steps. Until then it is frozen
    to the bit, in eval mode, and the optimiser has no moments of it. (The paper unfreezes at the
    ends of epochs, and without a warm-up.)
    """

    tasks: ClassVar[frozenset[Kind]] = SUPERVISED | DECODED

    def __init__(
        self,
        *,
        unfrozen_by: Fraction,
        warmup: Annotated[float, Interval(ge=0, lt=1), Doc("a fraction of the steps, not epochs")],
    ) -> None:
        self.unfrozen_by, self.warmup = unfrozen_by, warmup

    def groups(self, network: Network) -> list[Group]:
        layers = by_depth(network)
        lower = []
        for i, layer in enumerate(layers):
            start = (len(layers) - i) / len(layers) * self.unfrozen_by
            lower.append(Group(layer, partial(awakening, start, self.warmup)))
        return [*lower, Group(head_parameters(network), 1.0)]


def awakening(start: float, warmup: float, progress: float) -> float:
    """0 before ``start``, then a line up to 1 that begins above 0, over ``warmup``."""
    if progress < start:
        return 0.0
    return 1.0 if warmup <= 0 else min(1.0, 0.1 + 0.9 * (progress - start) / warmup)
