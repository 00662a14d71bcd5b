"""A discriminator learns to tell the domains apart, the features learn to confuse it.

Ganin et al., Domain-adversarial training of neural networks, JMLR 17(59), 2016, arXiv:1505.07818.
"""

from __future__ import annotations

from math import exp
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from aetl.ranges import NonNegative, Size
from aetl.task.base import Task
from aetl.transfer.base import Part, Step, TransferStrategy, View
from aetl.transfer.network import Network


class Dann(TransferStrategy):
    """``weight`` times the domain's cross-entropy, through a layer that reverses the gradient.

    The reversed gradient is scaled by ``2 / (1 + exp(-gamma p)) - 1`` at the progress ``p``
    (section 5.2.2); the discriminator learns at the full rate. It is an MLP with one layer of
    ``hidden`` units. Both domains count alike: the loss is the mean of theirs, where the paper adds
    them, so its lambda of 1 is a ``weight`` of 2.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})

    def __init__(self, *, weight: NonNegative, gamma: NonNegative, hidden: Size) -> None:
        self.weight, self.gamma, self.hidden = weight, gamma, hidden

    def module(self, network: Network, task: Task, view: View) -> nn.Module:
        return discriminator(network.feature_dim, self.hidden)

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        assert module is not None
        strength = reversal(step.progress, self.gamma)
        source, target = step.streams["source"].features, step.streams["target"].features
        return self.weight * domain_loss(
            module(reverse(source, strength)), module(reverse(target, strength))
        )


def discriminator(in_dim: int, hidden: int) -> nn.Module:
    return nn.Sequential(nn.Linear(in_dim, hidden), nn.ReLU(), nn.Linear(hidden, 1))


def reversal(progress: float, gamma: float) -> float:
    return 2.0 / (1.0 + exp(-gamma * progress)) - 1.0


def domain_loss(
    source: Float[Tensor, "N 1"],
    target: Float[Tensor, "M 1"],
    source_weight: Float[Tensor, " N"] | None = None,
    target_weight: Float[Tensor, " M"] | None = None,
) -> Float[Tensor, ""]:
    """The mean of both domains' (weighted) mean cross-entropies: source is 1, target 0, nats."""
    sides = ((source, 1.0, source_weight), (target, 0.0, target_weight))
    losses = []
    for logits, label, weight in sides:
        each = binary_cross_entropy_with_logits(
            logits.squeeze(1), torch.full_like(logits.squeeze(1), label), reduction="none"
        )
        losses.append(each.mean() if weight is None else (each * weight).sum() / weight.sum())
    return torch.stack(losses).mean()


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return -ctx.strength * gradients[0], None


def reverse(x: Float[Tensor, "B F"], strength: float) -> Float[Tensor, "B F"]:
    """The identity, whose gradient is ``-strength`` times that of the identity."""
    reversed_: Tensor = _Reverse.apply(x, strength)
    return reversed_
