"""A head with one hidden layer, trained by gradient on the frozen encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aetl.ranges import NonNegative, Size
from aetl.transfer.base import Group, Step, TransferStrategy
from aetl.transfer.depth import head_parameters
from aetl.transfer.network import Network


class MlpHead(TransferStrategy):
    """``W2 relu(W1 z + b1) + b2`` with ``hidden`` units over frozen features ``z``.

    The head alone trains, at ``scale`` times the rate, with ``l2 / 2 (|W1|^2 + |W2|^2)`` added to
    the loss: what is in the features, but not linearly.
    """

    def __init__(self, *, hidden: Size, scale: NonNegative, l2: NonNegative) -> None:
        self.hidden, self.scale, self.l2 = hidden, scale, l2

    def adapt(self, network: Network) -> None:
        base = network.head
        network.head = Hidden(base.in_features, self.hidden, base.out_features).to(base.weight)

    def groups(self, network: Network) -> list[Group]:
        return [Group(head_parameters(network), self.scale)]

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        head = step.network.head
        matrices = [p.square().sum() for p in head.parameters() if p.dim() == 2]
        return self.l2 / 2 * torch.stack(matrices).sum()


class Hidden(nn.Linear):
    """A linear layer over a hidden one: the output's weights keep the names of a linear head's."""

    def __init__(self, in_features: int, hidden: int, out_features: int) -> None:
        super().__init__(hidden, out_features)
        self.hidden = nn.Linear(in_features, hidden)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(torch.relu(self.hidden(input)))
