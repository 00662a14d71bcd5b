"""Clusters that sharpen themselves while the data is still reconstructed.

Guo, Gao, Liu and Yin (IJCAI 2017), Improved deep embedded clustering with local structure
preservation.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from aetl.ranges import Count, NonNegative, Size
from aetl.task.base import Kind, Task
from aetl.transfer.base import Group, Step, TransferStrategy, View
from aetl.transfer.feature.dec import Dec
from aetl.transfer.network import Network


class Idec(TransferStrategy):
    """``L_r + gamma KL(P || Q)`` (equation 1): the objective of pretraining and DEC's loss, means
    over the examples. See ``Dec`` for the rest."""

    tasks: ClassVar[frozenset[Kind]] = frozenset({"clustering"})
    reconstructs: ClassVar[bool] = True

    def __init__(self, *, clusters: Size, update: Count, starts: Count, gamma: NonNegative) -> None:
        self.dec = Dec(clusters=clusters, update=update, starts=starts)
        self.gamma = gamma

    def adapt(self, network: Network) -> None:
        self.dec.adapt(network)

    def groups(self, network: Network) -> list[Group]:
        return self.dec.groups(network)

    def module(self, network: Network, task: Task, view: View) -> nn.Module:
        return self.dec.module(network, task, view)

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        x = step.streams["labelled"].x
        kept = step.reconstruction_loss(x, step.rng.fork("reconstruction")).mean()
        return kept + self.gamma * self.dec.penalty(step, module)
