"""Log-cosh error: a smooth Huber loss (Chen et al., 2018, Log hyperbolic cosine loss VAE)."""

from __future__ import annotations

from math import log
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from aetl.loss.base import LossTerm, Weight
from aetl.ranges import NonNegative, Positive


class LogCosh(LossTerm):
    """``sum_d log(cosh(a e_d)) / a``: ``a e^2 / 2`` near zero and ``|e|`` far from it."""

    unit: ClassVar[str] = "input units"

    def __init__(self, *, weight: NonNegative | Weight, a: Positive) -> None:
        super().__init__(weight=weight)
        self.a = a

    def forward(
        self, reconstruction: Float[Tensor, "B ..."], x: Float[Tensor, "B ..."]
    ) -> Float[Tensor, " B"]:
        error = self.a * (reconstruction - x)
        # log cosh t = t + log(1 + exp(-2 t)) - log 2 overflows nowhere.
        each = error + softplus(-2.0 * error) - log(2.0)
        return each.flatten(1).sum(1) / self.a
