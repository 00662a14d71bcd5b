"""A support vector machine on frozen features (Cortes and Vapnik, Machine Learning 20, 1995)."""

from __future__ import annotations

from typing import Any

from aetl.head.chosen import Chosen
from aetl.head.svm import Svm as SvmHead
from aetl.task.base import Task
from aetl.transfer.base import TransferStrategy


class Svm(TransferStrategy):
    """``feature/linear_probe`` with a head of its own, whatever the config's is."""

    def __init__(self, *, head: SvmHead) -> None:
        self.choice = head

    def head(self, task: Task) -> Any:
        return Chosen(self.choice, task.kind)
