"""The control of adaptation in closed form: a head on the source's labels, nothing aligned."""

from __future__ import annotations

from typing import Any, ClassVar

from aetl.head.base import Head
from aetl.head.chosen import Chosen
from aetl.task.base import Task
from aetl.transfer.base import Part, TransferStrategy


class SourceProbe(TransferStrategy):
    """``head`` on the frozen pretrained features of labelled sources: the twin that is as deep as
    ``feature/coral_closed``, ``subspace_alignment``, ``optimal_transport``, ``tca`` and ``sda``."""

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels"})

    def __init__(self, *, head: Head) -> None:
        self.choice = head

    def head(self, task: Task) -> Any:
        return Chosen(self.choice, task.kind)
