"""The config's head on the input itself: what no network at all gives."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from aetl.head.base import Head
from aetl.head.chosen import Chosen
from aetl.task.base import Kind, Task
from aetl.transfer.base import TransferStrategy
from aetl.transfer.network import Network
from aetl.types import FROZEN, NUMBERS, SUPERVISED, ExampleKind


class RawFeatures(TransferStrategy):
    """``head`` on the flattened input. Often the control to beat."""

    kinds: ClassVar[frozenset[ExampleKind]] = NUMBERS
    tasks: ClassVar[frozenset[Kind]] = SUPERVISED | FROZEN | {"reconstruction"}
    initial: ClassVar[Literal["pretrained", "random"]] = "random"

    def __init__(self, *, head: Head) -> None:
        self.choice = head

    def head(self, task: Task) -> Any:
        return Chosen(self.choice, task.kind)

    def represent(self, network: Network, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B F"]:
        return x.flatten(1)
