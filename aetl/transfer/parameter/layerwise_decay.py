"""The lower a layer, the lower its learning rate.

Howard and Ruder (2018), ULMFiT, arXiv:1801.06146, section 3.2 (discriminative fine-tuning).
"""

from __future__ import annotations

from typing import ClassVar

from aetl.ranges import Share
from aetl.transfer.base import Group, TransferStrategy
from aetl.transfer.depth import by_depth, head_parameters
from aetl.transfer.network import Network
from aetl.types import DECODED, SUPERVISED, Kind


class LayerwiseDecay(TransferStrategy):
    """The head trains at the full rate, the layer ``k`` below it at ``decay^k`` of it.

    The paper divides by 2.6 from layer to layer, which is a decay of 0.38.
    """

    tasks: ClassVar[frozenset[Kind]] = SUPERVISED | DECODED

    def __init__(self, *, decay: Share) -> None:
        self.decay = decay

    def groups(self, network: Network) -> list[Group]:
        layers = by_depth(network)
        scales = [self.decay ** (len(layers) - i) for i in range(len(layers))]
        lower = [Group(layer, scale) for layer, scale in zip(layers, scales, strict=True)]
        return [*lower, Group(head_parameters(network), 1.0)]
