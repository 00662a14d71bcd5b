"""The source's features are carried onto the target's by optimal transport.

Courty et al. (2017), Optimal transport for domain adaptation, IEEE TPAMI 39, arXiv:1507.00504.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Shaped
from scipy.spatial.distance import cdist

from aetl.head.base import Head
from aetl.head.chosen import Chosen
from aetl.ranges import Count, NonNegative, Size
from aetl.rng import Rng
from aetl.task.base import Task, numpy
from aetl.transfer.base import Alignment, Part, TransferStrategy, View
from aetl.types import UserError


class OptimalTransport(TransferStrategy):
    """Every source goes to the mean of the targets that its mass goes to (equation 14).

    The plan is between at most ``samples`` examples of each domain, for squared distances over
    their median: exact with ``entropy: 0``, else by at most ``iterations`` of Sinkhorn's algorithm
    (equation 10); with ``same_class`` above 0 mass of several classes is discouraged from meeting
    in one target (equation 11, by Lp-L1). A source outside of the sample moves like its nearest one
    in it. Then the head is fitted.

    The means of an entropic plan lie closer together than the targets do, up to a third of their
    spread. With ``rescale`` (not in the paper) the images are stretched about their mean to the
    targets' total variance.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})

    def __init__(
        self,
        *,
        head: Head,
        entropy: NonNegative,
        same_class: NonNegative,
        samples: Size,
        iterations: Count,
        rescale: bool,
    ) -> None:
        self.choice, self.entropy, self.same_class = head, entropy, same_class
        self.samples, self.iterations, self.rescale = samples, iterations, rescale

    def head(self, task: Task) -> Any:
        pot("optimal_transport")
        return Chosen(self.choice, task.kind)

    def align(self, view: View) -> Alignment:
        source, target = view.features("source_labels"), view.features("target_inputs")
        rows = _drawn(len(source), self.samples, view.rng.fork("source"))
        columns = _drawn(len(target), self.samples, view.rng.fork("target"))
        examples = view.examples("source_labels")
        if self.same_class > 0 and (not examples.classes or examples.y.dim() > 1):
            raise UserError("transfer.feature.same_class: needs one class for each source; set 0")
        here, there = numpy(source)[rows], numpy(target)[columns]
        labels = numpy(examples.y)[rows]
        plan = transport_plan(here, there, labels, self.entropy, self.same_class, self.iterations)
        shift = images(plan, there, self.rescale) - here

        def carry(z: np.ndarray) -> np.ndarray:
            return np.asarray(z + shift[cdist(z, here).argmin(1)])

        return Alignment(carry, lambda z: z, warnings=self._told(plan))

    def _told(self, plan: Float[np.ndarray, "N M"]) -> tuple[str, ...]:
        wrong = float(np.abs(plan.sum(0) - 1 / plan.shape[1]).sum())
        if wrong <= UNEVEN:
            return ()
        return (
            f"transfer.feature (optimal_transport): after {self.iterations} iterations "
            f"{wrong:.1%} of the mass is not where it belongs; raise entropy or iterations",
        )


UNEVEN = 0.01
"""A plan whose columns miss more of the mass than that has not converged."""


def images(
    plan: Float[np.ndarray, "N M"], target: Float[np.ndarray, "M F"], rescale: bool
) -> Float[np.ndarray, "N F"]:
    """Where each source goes: the barycentre of the targets, weighted by the plan's row."""
    mass = plan.sum(1, keepdims=True)
    # A source whose mass got lost in rounding goes to the mean of all.
    share = np.where(mass > 0, plan / np.where(mass > 0, mass, 1.0), 1.0 / len(target))
    found = share @ target
    if not rescale:
        return np.asarray(found)
    center, spread = found.mean(0), found.var(0).sum()
    factor = np.sqrt(target.var(0).sum() / spread) if spread > 0 else 1.0
    return np.asarray(center + factor * (found - center))


def transport_plan(
    source: Float[np.ndarray, "N F"],
    target: Float[np.ndarray, "M F"],
    labels: Shaped[np.ndarray, "N ..."],
    entropy: float,
    same_class: float,
    iterations: int,
) -> Float[np.ndarray, "N M"]:
    """Mass from every source to every target, uniform on both sides, 1 in all."""
    ot = pot("optimal_transport")
    cost = cdist(source, target, "sqeuclidean")
    cost /= np.median(cost) or cost.max() or 1.0
    a, b = np.full(len(source), 1 / len(source)), np.full(len(target), 1 / len(target))
    if entropy <= 0:
        return np.asarray(ot.emd(a, b, cost, numItermax=max(iterations, 1_000_000)))
    if same_class > 0:
        plan = ot.da.sinkhorn_lpl1_mm(
            a, labels, b, cost, entropy, eta=same_class,
            numItermax=10, numInnerItermax=iterations,
        )  # fmt: skip
        return np.asarray(plan)
    # Scaling underflows where a cost is many entropies; stabilised, it is several times slower.
    method = "sinkhorn" if cost.max() / entropy < UNDERFLOW else "sinkhorn_stabilized"
    plan = ot.sinkhorn(a, b, cost, entropy, method=method, numItermax=iterations, warn=False)
    return np.asarray(plan)


UNDERFLOW = 500.0


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
