"""The config's head on the frozen pretrained encoder (Alain and Bengio, 2016, arXiv:1610.01644)."""

from __future__ import annotations

from typing import Any

from aetl.head.base import Head
from aetl.head.chosen import Chosen
from aetl.task.base import Task
from aetl.transfer.base import TransferStrategy


class LinearProbe(TransferStrategy):
    """``head``, by default logistic regression (of numbers: ridge), fitted to convergence."""

    def __init__(self, *, head: Head) -> None:
        self.choice = head

    def head(self, task: Task) -> Any:
        return Chosen(self.choice, task.kind)
