"""The lower layers stay as they were pretrained (Yosinski et al., 2014, arXiv:1411.1792)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from annotated_types import Interval

from aetl.transfer.base import Group, TransferStrategy
from aetl.transfer.depth import by_depth, head_parameters
from aetl.transfer.network import Network
from aetl.types import DECODED, SUPERVISED, Kind


class Freeze(TransferStrategy):
    """The first ``layers`` layers of the encoder are frozen (negative: all but the last so many).

    With as many layers as the encoder has, or more, only the head trains.
    """

    tasks: ClassVar[frozenset[Kind]] = SUPERVISED | DECODED

    def __init__(self, *, layers: Annotated[int, Interval(ge=-1_000, le=1_000)]) -> None:
        self.layers = layers

    def groups(self, network: Network) -> list[Group]:
        above = by_depth(network)[self.layers :]
        return [Group([*(p for layer in above for p in layer), *head_parameters(network)], 1.0)]
