"""KL with a free allowance for each latent (Kingma et al., 2016, arXiv:1606.04934, eq. 15)."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.joint_batch import joint_batch
from aetl.loss.base import LossTerm, Prior, Role, Weight
from aetl.loss.kl import StandardNormalKL
from aetl.ranges import NonNegative


class FreeBitsKL(LossTerm):
    """``sum_j max(free, mean over the batch of KL_j)`` with one group for each latent.

    A latent whose mean over the batch lies below ``free`` nats counts as ``free`` for every
    example and has no gradient; any other counts by its own KL. So the mean over the examples is
    the paper's term.
    """

    unit: ClassVar[str] = "nats"
    prior: ClassVar[Prior | None] = "normal"
    role: ClassVar[Role | None] = "rate"

    def __init__(self, *, weight: NonNegative | Weight, free: NonNegative) -> None:
        super().__init__(weight=weight)
        self.free = free

    def plain(self) -> LossTerm:
        return StandardNormalKL(weight=1.0)

    def forward(
        self, mean: Float[Tensor, "B Z"], logvar: Float[Tensor, "B Z"]
    ) -> Float[Tensor, " B"]:
        each = 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar)
        used = joint_batch(each.detach()).everyone.mean(0) > self.free
        return torch.where(used, each, torch.full_like(each, self.free)).sum(1)
