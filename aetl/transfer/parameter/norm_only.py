"""Only normalisation layers and the head train (Frankle et al., 2021, arXiv:2003.00152)."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from aetl.transfer.base import Group, TransferStrategy
from aetl.transfer.network import Network
from aetl.types import DECODED, SUPERVISED, DoesNotFit, Kind

NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)


class NormOnly(TransferStrategy):
    """The scales and shifts of batch, layer and group normalisation, and the head."""

    tasks: ClassVar[frozenset[Kind]] = SUPERVISED | DECODED

    def groups(self, network: Network) -> list[Group]:
        used = {id(p) for p in network.in_use().values()}
        norms = [m for m in network.autoencoder.modules() if isinstance(m, NORMS)]
        inside = [p for m in norms for p in m.parameters() if id(p) in used]
        if not inside:
            raise DoesNotFit(
                "transfer.parameter: norm_only needs an encoder with normalisation layers; "
                "set backbone.norm=batch"
            )
        return [Group([*inside, *network.head.parameters()], 1.0)]
