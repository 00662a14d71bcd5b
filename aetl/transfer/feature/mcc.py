"""Classes that targets are torn between are drawn apart.

Jin, Wang, Long and Wang (ECCV 2020), Minimum class confusion, arXiv:1912.03699.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aetl.ranges import NonNegative, Positive
from aetl.task.base import Kind
from aetl.transfer.base import Part, Step, TransferStrategy


class Mcc(TransferStrategy):
    """``weight`` times the mean confusion of different classes in the target's predictions, which
    are softened by ``temperature`` (equations 1 to 6)."""

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})
    tasks: ClassVar[frozenset[Kind]] = frozenset({"classification"})

    def __init__(self, *, weight: NonNegative, temperature: Positive) -> None:
        self.weight, self.temperature = weight, temperature

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        return self.weight * confusion(step.streams["target"].output, self.temperature)


def confusion(logits: Float[Tensor, "B K"], temperature: float) -> Float[Tensor, ""]:
    """``1/K sum_{j != k} C_jk / sum_k C_jk`` with ``C = Y' W Y``: of the softened probabilities Y,
    each example weighted by ``1 + exp(-entropy)``, scaled to the mean 1."""
    probability = torch.softmax(logits / temperature, 1)
    entropy = -(probability * torch.log(probability + 1e-5)).sum(1)
    certainty = 1 + torch.exp(-entropy.detach())
    weight = len(logits) * certainty / certainty.sum()
    pairs = (probability * weight[:, None]).T @ probability
    share = pairs / pairs.sum(1, keepdim=True)
    return (share.sum() - share.trace()) / logits.shape[1]
