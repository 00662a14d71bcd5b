"""The control that every gain is measured against: no transfer at all."""

from __future__ import annotations

from typing import ClassVar, Literal

from aetl.transfer.base import Group, TransferStrategy
from aetl.transfer.network import Network
from aetl.types import DECODED, SUPERVISED, Kind


class Scratch(TransferStrategy):
    """The same network from a random start, all of it trained on the target's labels alone."""

    tasks: ClassVar[frozenset[Kind]] = SUPERVISED | DECODED
    initial: ClassVar[Literal["pretrained", "random"]] = "random"

    def groups(self, network: Network) -> list[Group]:
        return [Group(list(network.in_use().values()), 1.0)]
