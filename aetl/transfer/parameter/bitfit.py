"""Only biases and the head train (Ben Zaken et al., 2022, BitFit, arXiv:2106.10199)."""

from __future__ import annotations

from typing import ClassVar

from aetl.transfer.base import Group, TransferStrategy
from aetl.transfer.network import Network
from aetl.types import DECODED, SUPERVISED, Kind


class Bitfit(TransferStrategy):
    """Every parameter in use that is called ``bias``, and the head."""

    tasks: ClassVar[frozenset[Kind]] = SUPERVISED | DECODED

    def groups(self, network: Network) -> list[Group]:
        used = network.in_use().items()
        return [Group([p for n, p in used if n.startswith("head.") or n.endswith("bias")], 1.0)]
