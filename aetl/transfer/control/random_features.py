"""A linear head on a frozen random encoder: what the architecture alone gives."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from aetl.ranges import NonNegative
from aetl.task.base import Task
from aetl.transfer.base import TransferStrategy


class RandomFeatures(TransferStrategy):
    """Like ``feature/linear_probe``, but nothing was ever learned below the head."""

    initial: ClassVar[Literal["pretrained", "random"]] = "random"

    def __init__(self, *, l2: NonNegative) -> None:
        self.l2 = l2

    def head(self, task: Task) -> Any:
        return task.linear_head(self.l2)
