"""KL of the lower layer of a ladder VAE (Sonderby et al., 2016, arXiv:1602.02282)."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from aetl.loss.base import LossTerm, Role


class LadderKL(LossTerm):
    """``KL(q(z1|z2, x) || p(z1|z2))`` of two diagonal Gaussians, at the sample of ``z2``."""

    unit: ClassVar[str] = "nats"
    role: ClassVar[Role | None] = "rate"

    def forward(
        self,
        mean: Float[Tensor, "B Z"],
        logvar: Float[Tensor, "B Z"],
        down_mean: Float[Tensor, "B Z"],
        down_logvar: Float[Tensor, "B Z"],
    ) -> Float[Tensor, " B"]:
        distance = (mean - down_mean).square() * (-down_logvar).exp()
        ratio = logvar - down_logvar
        return 0.5 * (distance + ratio.exp() - 1.0 - ratio).sum(1)
