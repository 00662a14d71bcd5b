"""Full fine-tuning: everything that the prediction depends on goes on training."""

from __future__ import annotations

from typing import ClassVar

from aetl.ranges import NonNegative
from aetl.transfer.base import Group, TransferStrategy
from aetl.transfer.network import Network
from aetl.types import DECODED, SUPERVISED, Kind


class Finetune(TransferStrategy):
    """The pretrained encoder trains at ``encoder_scale`` times the head's learning rate."""

    tasks: ClassVar[frozenset[Kind]] = SUPERVISED | DECODED

    def __init__(self, *, encoder_scale: NonNegative) -> None:
        self.encoder_scale = encoder_scale

    def groups(self, network: Network) -> list[Group]:
        used = network.in_use()
        head = [p for name, p in used.items() if name.startswith("head.")]
        encoder = [p for name, p in used.items() if not name.startswith("head.")]
        return [Group(encoder, self.encoder_scale), Group(head, 1.0)]
