"""A second classifier finds where the first may be wrong on the target, the features prevent it.

Zhang, Liu, Long and Jordan (ICML 2019), Bridging theory and algorithm for domain adaptation,
arXiv:1904.05801.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from aetl.ranges import NonNegative, Positive, Size
from aetl.task.base import Kind, Task
from aetl.transfer.base import Part, Step, TransferStrategy, View
from aetl.transfer.feature.dann import reversal, reverse
from aetl.transfer.network import Network


class Mdd(TransferStrategy):
    """``weight`` times the margin disparity discrepancy (equations 26 to 30) with the margin
    ``log(factor)``, through a layer that reverses the gradient.

    The second classifier is an MLP with one layer of ``hidden`` units; the reversal grows with the
    progress as DANN's does (``gamma``), where the paper's grows to 0.1.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})
    tasks: ClassVar[frozenset[Kind]] = frozenset({"classification"})

    def __init__(
        self, *, weight: NonNegative, factor: Positive, hidden: Size, gamma: NonNegative
    ) -> None:
        self.weight, self.factor, self.hidden, self.gamma = weight, factor, hidden, gamma

    def module(self, network: Network, task: Task, view: View) -> nn.Module:
        classes = network.head.out_features
        return nn.Sequential(
            nn.Linear(network.feature_dim, self.hidden), nn.ReLU(), nn.Linear(self.hidden, classes)
        )

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        assert module is not None
        strength = reversal(step.progress, self.gamma)
        sides = [
            (module(reverse(stream.features, strength)), stream.output.detach().argmax(1))
            for stream in (step.streams["source"], step.streams["target"])
        ]
        return self.weight * disparity(*sides[0], *sides[1], self.factor)


def disparity(
    source: Float[Tensor, "N K"], of_source: Tensor, target: Float[Tensor, "M K"],
    of_target: Tensor, factor: float,
) -> Float[Tensor, ""]:  # fmt: skip
    """``factor`` times how far the second classifier is from the first one's classes on the source,
    plus how far it is from leaving them on the target; nats."""
    agree = cross_entropy(source, of_source)
    log_own = torch.log_softmax(target, 1).gather(1, of_target[:, None]).squeeze(1)
    # log(1 - p) = log(1 - exp(log p)), held away from 0.
    leave = -torch.log((1 - log_own.exp()).clamp_min(1e-6)).mean()
    return factor * agree + leave
