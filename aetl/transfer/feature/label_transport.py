"""The source's labels travel to the target along the plan of optimal transport.

Redko, Courty, Flamary and Tuia (AISTATS 2019), Optimal transport for multi-source domain adaptation
under target shift, arXiv:1803.04899, section 4; Solomon et al. (ICML 2014).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from aetl.head.base import Head
from aetl.head.chosen import Chosen
from aetl.ranges import Count, NonNegative, Size
from aetl.task.base import Kind, Task
from aetl.transfer.base import Part, Samples, TransferStrategy
from aetl.transfer.feature.optimal_transport import pot, transport_plan


class LabelTransport(TransferStrategy):
    """Every target gets the class that most of its mass comes from, and counts as that share; the
    head is fitted on those targets alone.

    The plan is as in ``feature/optimal_transport``, between at most ``samples`` examples of each
    domain. Departs from the paper in that proportions of classes are the source's: there is one
    source, and no target shift is estimated.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})
    tasks: ClassVar[frozenset[Kind]] = frozenset({"classification"})

    def __init__(
        self, *, head: Head, entropy: NonNegative, samples: Size, iterations: Count
    ) -> None:
        self.choice, self.entropy = head, entropy
        self.samples, self.iterations = samples, iterations

    def head(self, task: Task) -> Any:
        pot("label_transport")
        return Chosen(self.choice, task.kind)

    def fit(self, estimator: Any, samples: Samples) -> Any:
        assert samples.source is not None
        targets = samples.unlabelled()
        rows = _drawn(samples.rng.fork("source").permutation(len(samples.source.x)), self.samples)
        columns = _drawn(samples.rng.fork("target").permutation(len(targets)), self.samples)
        x, y = samples.source.x[rows], samples.source.y[rows]
        plan = transport_plan(x, targets[columns], y, self.entropy, 0.0, self.iterations)
        label, share = carried(plan, y)
        return estimator.fit(targets[columns], label, share)


def carried(
    plan: Float[np.ndarray, "N M"], y: Int[np.ndarray, " N"]
) -> tuple[Int[np.ndarray, " M"], Float[np.ndarray, " M"]]:
    """The class that most of each column's mass comes from, and the share of it."""
    classes = np.unique(y)
    mass = np.stack([plan[y == k].sum(0) for k in classes])
    total = mass.sum(0)
    share = mass.max(0) / np.where(total > 0, total, 1.0)
    return classes[mass.argmax(0)], np.where(total > 0, share, 0.0)


def _drawn(order: Any, number: int) -> np.ndarray:
    return np.sort(order.numpy()[:number])
