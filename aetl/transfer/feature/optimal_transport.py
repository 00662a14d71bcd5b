"""The source's features are carried onto the target's by optimal transport.

Courty et al. (2017), Optimal transport for domain adaptation, IEEE TPAMI 39, arXiv:1507.00504.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Shaped
from scipy.spatial.distance import cdist

from aetl.ranges import NonNegative, Positive, Size
from aetl.rng import Rng
from aetl.task.base import Task, numpy
from aetl.transfer.base import Alignment, Part, TransferStrategy, View
from aetl.types import UserError


class OptimalTransport(TransferStrategy):
    """Every source goes to the mean of the targets that its mass goes to (equation 14).

    The plan is between at most ``samples`` examples of each domain, for squared distances over
    their largest: exact with ``entropy: 0``, else by Sinkhorn's algorithm (equation 10); with
    ``same_class`` above 0 mass of several classes is discouraged from meeting in one target
    (equation 11, by Lp-L1). A source outside of the sample moves like its nearest one in it. Then
    a linear head is fitted.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})

    def __init__(
        self, *, l2: NonNegative, entropy: Positive, same_class: NonNegative, samples: Size
    ) -> None:
        self.l2, self.entropy, self.same_class = l2, entropy, same_class
        self.samples = samples

    def head(self, task: Task) -> Any:
        pot("optimal_transport")
        return task.linear_head(self.l2)

    def align(self, view: View) -> Alignment:
        source, target = view.features("source_labels"), view.features("target_inputs")
        rows = _drawn(len(source), self.samples, view.rng.fork("source"))
        columns = _drawn(len(target), self.samples, view.rng.fork("target"))
        examples = view.examples("source_labels")
        if self.same_class > 0 and (not examples.classes or examples.y.dim() > 1):
            raise UserError("transfer.feature.same_class: needs one class for each source; set 0")
        here, there = numpy(source)[rows], numpy(target)[columns]
        labels = numpy(examples.y)[rows]
        shift = images(here, there, labels, self.entropy, self.same_class) - here

        def carry(z: np.ndarray) -> np.ndarray:
            return np.asarray(z + shift[cdist(z, here).argmin(1)])

        return Alignment(carry, lambda z: z)


def images(
    source: Float[np.ndarray, "N F"],
    target: Float[np.ndarray, "M F"],
    labels: Shaped[np.ndarray, "N ..."],
    entropy: float,
    same_class: float,
) -> Float[np.ndarray, "N F"]:
    """Where each source goes: the barycentre of the targets, weighted by the plan's row."""
    plan = transport_plan(source, target, labels, entropy, same_class)
    return np.asarray(plan @ target / plan.sum(1, keepdims=True))


def transport_plan(
    source: Float[np.ndarray, "N F"],
    target: Float[np.ndarray, "M F"],
    labels: Shaped[np.ndarray, "N ..."],
    entropy: float,
    same_class: float,
) -> Float[np.ndarray, "N M"]:
    """Mass from every source to every target, uniform on both sides, 1 in all."""
    ot = pot("optimal_transport")
    cost = cdist(source, target, "sqeuclidean")
    cost /= cost.max() or 1.0
    a, b = np.full(len(source), 1 / len(source)), np.full(len(target), 1 / len(target))
    if entropy <= 0:
        return np.asarray(ot.emd(a, b, cost))
    if same_class > 0:
        return np.asarray(ot.da.sinkhorn_lpl1_mm(a, labels, b, cost, entropy, eta=same_class))
    return np.asarray(ot.sinkhorn(a, b, cost, entropy, method="sinkhorn_log", numItermax=10000))


def pot(strategy: str) -> ModuleType:
    """The library POT, which is an extra."""
    try:
        import ot
    except ImportError:
        raise UserError(f"transfer=feature/{strategy}: pip install 'aetl[ot]'") from None
    module: ModuleType = ot
    return module


def _drawn(size: int, number: int, rng: Rng) -> np.ndarray:
    return np.sort(rng.permutation(size).numpy()[:number])
