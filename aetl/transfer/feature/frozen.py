"""The config's head on the frozen pretrained encoder, for the tasks without labels."""

from __future__ import annotations

from typing import Any, ClassVar

from aetl.head.base import Head
from aetl.head.chosen import Chosen
from aetl.task.base import Kind, Task
from aetl.transfer.base import TransferStrategy
from aetl.types import FROZEN


class Frozen(TransferStrategy):
    """A detector, clusters or an index of neighbours, fitted to the features of the budget: what
    ``feature/linear_probe`` is for labels."""

    tasks: ClassVar[frozenset[Kind]] = FROZEN

    def __init__(self, *, head: Head) -> None:
        self.choice = head

    def head(self, task: Task) -> Any:
        return Chosen(self.choice, task.kind)
