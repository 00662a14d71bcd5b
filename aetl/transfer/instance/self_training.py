"""The head labels unlabelled targets, and is fitted again on those that it is sure of.

Balanced over the classes as in class-balanced self-training (Zou et al., ECCV 2018).
"""

from __future__ import annotations

import copy
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Interval
from jaxtyping import Bool, Float

from aetl.head.base import Head
from aetl.head.chosen import Chosen
from aetl.ranges import Depth, Fraction, NonNegative
from aetl.task.base import Kind, Task
from aetl.transfer.base import Part, Sample, Samples, TransferStrategy


class SelfTraining(TransferStrategy):
    """``rounds`` of pseudo-labels for the head on frozen features.

    In round ``r`` of ``R`` at most ``per_class * r / R`` targets of each predicted class get that
    class for a label: the surest, of a probability of at least ``threshold``, each of ``weight``.
    Every round labels anew. With a strategy that declares the source's labels
    (``control/source_only``) the sources count too.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"target_inputs", "target_labels"})
    tasks: ClassVar[frozenset[Kind]] = frozenset({"classification"})

    def __init__(
        self,
        *,
        rounds: Depth,
        threshold: Fraction,
        per_class: Annotated[int, Interval(ge=0, le=65_536)],
        weight: NonNegative,
        head: Head,
    ) -> None:
        self.rounds, self.threshold, self.per_class = rounds, threshold, per_class
        self.weight, self.choice = weight, head

    def head(self, task: Task) -> Any:
        return Chosen(self.choice, task.kind)

    def fit(self, estimator: Any, samples: Samples) -> Any:
        labelled, unlabelled = samples.pooled(), samples.unlabelled()
        fitted = copy.deepcopy(estimator).fit(*labelled)
        for done in range(1, self.rounds + 1):
            probability = fitted.predict_proba(unlabelled)
            limit = int(np.ceil(self.per_class * done / self.rounds))
            sure = surest(probability, self.threshold, limit)
            label = fitted.classes_[probability.argmax(1)]
            added = Sample(unlabelled[sure], label[sure], np.full(sure.sum(), self.weight))
            both = (np.concatenate(pair) for pair in zip(labelled, added, strict=True))
            fitted = copy.deepcopy(estimator).fit(*both)
        return fitted


def surest(
    probability: Float[np.ndarray, "N K"], threshold: float, limit: int
) -> Bool[np.ndarray, " N"]:
    """The ``limit`` most probable examples of each predicted class, none below ``threshold``."""
    label, confidence = probability.argmax(1), probability.max(1)
    chosen = np.zeros(len(probability), dtype=bool)
    for k in range(probability.shape[1]):
        rows = np.flatnonzero(label == k)
        chosen[rows[np.argsort(-confidence[rows], kind="stable")][:limit]] = True
    return np.asarray(chosen & (confidence >= threshold))
