"""KL divergence of a diagonal Gaussian posterior from the standard normal prior."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from aetl.loss.base import LossTerm, Prior, Role


class StandardNormalKL(LossTerm):
    """``1/2 sum_z (mean^2 + exp(logvar) - 1 - logvar)`` (Kingma and Welling, 2014, appendix B)."""

    unit: ClassVar[str] = "nats"
    prior: ClassVar[Prior | None] = "normal"
    role: ClassVar[Role | None] = "rate"

    def forward(
        self, mean: Float[Tensor, "B Z"], logvar: Float[Tensor, "B Z"]
    ) -> Float[Tensor, " B"]:
        return 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).flatten(1).sum(1)
