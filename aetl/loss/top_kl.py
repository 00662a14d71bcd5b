"""KL of the upper layer of a ladder VAE (Sonderby et al., 2016, arXiv:1602.02282)."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from aetl.loss.base import LossTerm, Role


class TopKL(LossTerm):
    """``KL(q(z2|x) || N(0, I))`` of a diagonal Gaussian."""

    unit: ClassVar[str] = "nats"
    role: ClassVar[Role | None] = "rate"

    def forward(
        self, top_mean: Float[Tensor, "B T"], top_logvar: Float[Tensor, "B T"]
    ) -> Float[Tensor, " B"]:
        return 0.5 * (top_mean.square() + top_logvar.exp() - 1.0 - top_logvar).sum(1)
