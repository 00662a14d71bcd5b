"""The mean over classes of the average precision (Everingham et al., 2010, PASCAL VOC)."""

from __future__ import annotations

from typing import ClassVar

from aetl.metric.precision_over_recall import PrecisionOverRecall
from aetl.task.base import Kind


class MeanAveragePrecision(PrecisionOverRecall):
    """The area under the steps of precision over recall, mean over classes (or labels); in [0, 1].

    A class that no test example has, or all, does not count. Chance is a class's share.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"classification", "multilabel"})
