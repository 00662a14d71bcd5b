"""The config's head on a frozen random encoder: what the architecture alone gives."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from aetl.head.base import Head
from aetl.head.chosen import Chosen
from aetl.task.base import Kind, Task
from aetl.transfer.base import TransferStrategy
from aetl.types import FROZEN, SUPERVISED


class RandomFeatures(TransferStrategy):
    """Like ``feature/linear_probe``, but nothing was ever learned below the head."""

    tasks: ClassVar[frozenset[Kind]] = SUPERVISED | FROZEN
    initial: ClassVar[Literal["pretrained", "random"]] = "random"

    def __init__(self, *, head: Head) -> None:
        self.choice = head

    def head(self, task: Task) -> Any:
        return Chosen(self.choice, task.kind)
