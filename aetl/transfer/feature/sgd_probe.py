"""A linear head trained by gradient on the frozen encoder (Alain and Bengio, arXiv:1610.01644)."""

from __future__ import annotations

from torch import Tensor, nn

from aetl.ranges import NonNegative
from aetl.transfer.base import Group, Step, TransferStrategy
from aetl.transfer.depth import head_parameters
from aetl.transfer.network import Network


class SgdProbe(TransferStrategy):
    """The head alone trains, at ``scale`` times the rate, with ``l2 / 2 |W|^2`` added to the loss.

    Trained to the end it is the logistic (or ridge) regression with that penalty for each example,
    on features as they are. Unlike ``feature/linear_probe`` it takes batches, so it combines with
    weights, penalties and selectors.
    """

    def __init__(self, *, scale: NonNegative, l2: NonNegative) -> None:
        self.scale, self.l2 = scale, l2

    def groups(self, network: Network) -> list[Group]:
        return [Group(head_parameters(network), self.scale)]

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        return self.l2 / 2 * step.network.head.weight.square().sum()
