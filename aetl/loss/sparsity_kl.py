"""KL divergence of the units' mean activation from a small target (Ng, CS294A notes, 2011)."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.joint_batch import joint_batch
from aetl.loss.base import LossTerm, Weight
from aetl.ranges import Inner, NonNegative

EDGE = 1e-6
"""Mean activations are held this far from 0 and 1, where the divergence has no finite slope."""


class SparsityKL(LossTerm):
    """``sum_j target log(target / a_j) + (1 - target) log((1 - target) / (1 - a_j))``.

    ``a_j`` is the mean activation of unit j over the batch, where Ng takes it over the whole data
    set; so the term is a property of the batch, and every example gets the same number. Needs
    activations in (0, 1), such as the sigmoid's.
    """

    unit: ClassVar[str] = "nats"

    def __init__(self, *, weight: NonNegative | Weight, target: Inner) -> None:
        super().__init__(weight=weight)
        self.target = target

    def forward(self, latent: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
        active = joint_batch(latent).everyone.flatten(1).mean(0).clamp(EDGE, 1.0 - EDGE)
        target = torch.full_like(active, self.target)
        on = torch.special.xlogy(target, target / active)
        off = torch.special.xlogy(1.0 - target, (1.0 - target) / (1.0 - active))
        divergence: Tensor = (on + off).sum()
        return divergence.expand(len(latent))
