"""Small residual modules between frozen layers (Houlsby et al., 2019, arXiv:1902.00751)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from aetl.ranges import Size
from aetl.transfer.base import Group, TransferStrategy
from aetl.transfer.depth import encoder_layers, eval_mode, head_parameters
from aetl.transfer.network import Network
from aetl.types import DECODED, SUPERVISED, Kind


class Adapters(TransferStrategy):
    """After every encoder block ``h + U relu(D h)`` with ``dim`` units, 1x1 on feature maps.

    ``U`` starts at zero, so the network starts where it was. Only adapters and head train.
    """

    tasks: ClassVar[frozenset[Kind]] = SUPERVISED | DECODED

    def __init__(self, *, dim: Size) -> None:
        self.dim = dim

    def adapt(self, network: Network) -> None:
        for layer, shape in block_shapes(network):
            adapter = Adapter(shape[0], self.dim, spatial=len(shape) == 3)
            layer.add_module("adapter", adapter)
            if not isinstance(layer, nn.Sequential):  # which runs it as its last module
                layer.register_forward_hook(_through_adapter)

    def groups(self, network: Network) -> list[Group]:
        used = network.in_use().items()
        inserted = [p for name, p in used if ".adapter." in name]
        return [Group([*inserted, *head_parameters(network)], 1.0)]


class Adapter(nn.Module):
    """``h + U relu(D h)`` over the channels."""

    def __init__(self, channels: int, dim: int, *, spatial: bool) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, dim, 1) if spatial else nn.Linear(channels, dim)
        self.up = nn.Conv2d(dim, channels, 1) if spatial else nn.Linear(dim, channels)
        nn.init.zeros_(self.up.weight)
        assert self.up.bias is not None
        nn.init.zeros_(self.up.bias)

    def forward(self, h: Tensor) -> Tensor:
        update: Tensor = self.up(torch.relu(self.down(h)))
        return h + update


def _through_adapter(layer: nn.Module, inputs: object, output: Tensor) -> Tensor:
    adapter = layer.adapter
    assert isinstance(adapter, Adapter)
    return adapter.forward(output)


def block_shapes(network: Network) -> list[tuple[nn.Module, tuple[int, ...]]]:
    """The encoder layers that give a tensor, with the shape of one example of it."""
    found: list[tuple[nn.Module, tuple[int, ...]]] = []

    def look(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.dim() in (2, 4):
            found.append((module, tuple(output.shape[1:])))

    handles = [layer.register_forward_hook(look) for _, layer in encoder_layers(network)]
    with torch.no_grad(), eval_mode(network):
        network.features(network.scale.new_zeros(2, *network.autoencoder.shape))
    for handle in handles:
        handle.remove()
    return found
