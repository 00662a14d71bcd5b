"""The average precision of a ranking by strangeness (Davis and Goadrich, ICML 2006)."""

from __future__ import annotations

from typing import ClassVar

from aetl.metric.precision_over_recall import PrecisionOverRecall
from aetl.task.base import Kind


class AveragePrecision(PrecisionOverRecall):
    """The area under the steps of precision over recall of anomalies; chance is their share."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"anomaly"})
