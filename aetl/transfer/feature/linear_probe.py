"""A linear head on the frozen pretrained encoder (Alain and Bengio, 2016, arXiv:1610.01644)."""

from __future__ import annotations

from typing import Any

from aetl.ranges import NonNegative
from aetl.task.base import Task
from aetl.transfer.base import TransferStrategy


class LinearProbe(TransferStrategy):
    """Logistic regression, or ridge, on standardised features, fitted to convergence."""

    def __init__(self, *, l2: NonNegative) -> None:
        self.l2 = l2

    def head(self, task: Task) -> Any:
        return task.linear_head(self.l2)
