"""A head on the source's raw inputs and labels: what neither a network nor adaptation gives."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from aetl.head.base import Head
from aetl.head.chosen import Chosen
from aetl.task.base import Task
from aetl.transfer.base import Part, TransferStrategy
from aetl.transfer.network import Network
from aetl.types import NUMBERS, ExampleKind


class SourceRawFeatures(TransferStrategy):
    """``head`` on the flattened input of labelled sources: the twin of ``feature/msda``."""

    kinds: ClassVar[frozenset[ExampleKind]] = NUMBERS
    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels"})
    initial: ClassVar[Literal["pretrained", "random"]] = "random"

    def __init__(self, *, head: Head) -> None:
        self.choice = head

    def head(self, task: Task) -> Any:
        return Chosen(self.choice, task.kind)

    def represent(self, network: Network, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B F"]:
        return x.flatten(1)
