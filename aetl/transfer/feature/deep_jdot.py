"""Features and labels of both domains are brought together along an optimal transport plan.

Damodaran et al. (2018), DeepJDOT, arXiv:1803.10081, equations 4 to 6.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aetl.ranges import NonNegative
from aetl.task.base import Task, numpy
from aetl.transfer.base import Part, Step, Stream, TransferStrategy, View
from aetl.transfer.feature.optimal_transport import pot
from aetl.transfer.network import Network


class DeepJdot(TransferStrategy):
    """The cost of the best plan between the batch's sources and targets.

    A pair costs ``alpha |z_s - z_t|^2`` plus ``weight`` times the loss of the source's label under
    the target's prediction. The plan is exact, between uniform masses, and held constant in the
    gradient.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})

    def __init__(self, *, alpha: NonNegative, weight: NonNegative) -> None:
        self.alpha, self.weight = alpha, weight

    def module(self, network: Network, task: Task, view: View) -> None:
        pot("deep_jdot")

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        source, target = step.streams["source"], step.streams["target"]
        cost = self.alpha * torch.cdist(source.features, target.features).square()
        cost = cost + self.weight * label_cost(step, source, target)
        size = cost.shape
        masses = [torch.full((n,), 1 / n, dtype=torch.float64).numpy() for n in size]
        plan = pot("deep_jdot").emd(*masses, numpy(cost))
        return (torch.as_tensor(plan).to(cost) * cost).sum()


def label_cost(step: Step, source: Stream, target: Stream) -> Float[Tensor, "N M"]:
    """The task's loss of every source's label under every target's prediction."""
    rows, columns = len(source.x), len(target.x)
    output = target.output.repeat(rows, 1)
    label = source.y.repeat_interleave(columns, 0)
    return step.task.loss(output, label, float(step.network.scale)).view(rows, columns)
