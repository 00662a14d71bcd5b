"""Nearest neighbours on frozen features (Cover and Hart, IEEE Trans. Inf. Theory 13, 1967)."""

from __future__ import annotations

from typing import Any

from aetl.head.chosen import Chosen
from aetl.head.knn import Knn as KnnHead
from aetl.task.base import Task
from aetl.transfer.base import TransferStrategy


class Knn(TransferStrategy):
    """``feature/linear_probe`` with a head of its own, whatever the config's is."""

    def __init__(self, *, head: KnnHead) -> None:
        self.choice = head

    def head(self, task: Task) -> Any:
        return Chosen(self.choice, task.kind)
