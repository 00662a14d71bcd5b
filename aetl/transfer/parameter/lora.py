"""Low-rank updates of frozen layers (Hu et al., 2022, LoRA, arXiv:2106.09685)."""

from __future__ import annotations

from math import sqrt
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aetl.ranges import NonNegative, Size
from aetl.transfer.base import Group, TransferStrategy
from aetl.transfer.depth import encoder_layers, head_parameters
from aetl.transfer.network import Network
from aetl.types import DECODED, SUPERVISED, Kind


class Lora(TransferStrategy):
    """Every dense layer and convolution of the encoder gets ``W + alpha / rank * B A``.

    ``A`` starts as in ``nn.Linear`` and ``B`` at zero, so the network starts where it was. A
    convolution's ``A`` is a convolution of its own shape to ``rank`` channels, its ``B`` is 1x1.
    Grouped convolutions stay as they are. The original weights keep their names.
    """

    tasks: ClassVar[frozenset[Kind]] = SUPERVISED | DECODED

    def __init__(self, *, rank: Size, alpha: NonNegative) -> None:
        self.rank, self.alpha = rank, alpha

    def adapt(self, network: Network) -> None:
        used = {id(p) for p in network.in_use().values()}  # a log-variance's layer is not
        for _, layer in encoder_layers(network):
            for parent in list(layer.modules()):
                for name, child in list(parent.named_children()):
                    if id(getattr(child, "weight", None)) not in used:
                        continue
                    if type(child) is nn.Linear:
                        setattr(parent, name, LowRankLinear(child, self.rank, self.alpha))
                    elif type(child) is nn.Conv2d and child.groups == 1:
                        setattr(parent, name, LowRankConv2d(child, self.rank, self.alpha))

    def groups(self, network: Network) -> list[Group]:
        used = network.in_use().items()
        inserted = [p for name, p in used if name.endswith(("lora_a", "lora_b"))]
        return [Group([*inserted, *head_parameters(network)], 1.0)]


class LowRankLinear(nn.Linear):
    """``W x + b + alpha / rank * B A x``."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.weight, self.bias = base.weight, base.bias
        self.scaling = alpha / rank
        self.lora_a = nn.Parameter(base.weight.new_empty(rank, base.in_features))
        self.lora_b = nn.Parameter(base.weight.new_zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_a, a=sqrt(5))

    def forward(self, input: Tensor) -> Tensor:
        update = F.linear(F.linear(input, self.lora_a), self.lora_b)
        return super().forward(input) + self.scaling * update

    def merged_weight(self) -> Tensor:
        """The one matrix that does the same."""
        return self.weight + self.scaling * self.lora_b @ self.lora_a


class LowRankConv2d(nn.Conv2d):
    """The convolution plus ``alpha / rank`` times a 1x1 convolution of one to ``rank`` channels."""

    def __init__(self, base: nn.Conv2d, rank: int, alpha: float) -> None:
        nn.Module.__init__(self)
        self.__dict__.update({k: v for k, v in base.__dict__.items() if not k.startswith("_")})
        self._reversed_padding_repeated_twice = base._reversed_padding_repeated_twice
        self.weight, self.bias = base.weight, base.bias
        self.scaling = alpha / rank
        self.lora_a = nn.Parameter(base.weight.new_empty(rank, *base.weight.shape[1:]))
        self.lora_b = nn.Parameter(base.weight.new_zeros(base.out_channels, rank, 1, 1))
        nn.init.kaiming_uniform_(self.lora_a, a=sqrt(5))

    def forward(self, input: Tensor) -> Tensor:
        low = self._conv_forward(input, self.lora_a, None)
        return super().forward(input) + self.scaling * F.conv2d(low, self.lora_b)

    def merged_weight(self) -> Tensor:
        """The one kernel that does the same."""
        update = torch.einsum("or,rikl->oikl", self.lora_b[:, :, 0, 0], self.lora_a)
        return self.weight + self.scaling * update
