"""A linear head on the input itself: what no network at all gives."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from aetl.ranges import NonNegative
from aetl.task.base import Task
from aetl.transfer.base import TransferStrategy
from aetl.transfer.network import Network


class RawFeatures(TransferStrategy):
    """Logistic or ridge regression on the flattened input. Often the control to beat."""

    initial: ClassVar[Literal["pretrained", "random"]] = "random"

    def __init__(self, *, l2: NonNegative) -> None:
        self.l2 = l2

    def head(self, task: Task) -> Any:
        return task.linear_head(self.l2)

    def represent(self, network: Network, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B F"]:
        return x.flatten(1)
