"""Squared error on what was hidden alone (He et al., 2022, arXiv:2111.06377, section 3)."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from aetl.loss.base import LossTerm


class MaskedError(LossTerm):
    """``sum_d hidden_d (reconstruction_d - target_d)^2``; the paper takes the mean over them."""

    unit: ClassVar[str] = "squared target units"

    def forward(
        self,
        reconstruction: Float[Tensor, "B C H W"],
        target: Float[Tensor, "B C H W"],
        hidden: Float[Tensor, "B 1 H W"],
    ) -> Float[Tensor, " B"]:
        return (hidden * (reconstruction - target).square()).flatten(1).sum(1)
