"""Laplace likelihood: absolute errors as a density, less moved by outliers than a Gaussian."""

from __future__ import annotations

from math import log
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from aetl.loss.base import LossTerm, Role, Weight
from aetl.ranges import NonNegative, Positive


class Laplace(LossTerm):
    """``sum_d |x_d - reconstruction_d| / scale + log(2 scale)``; ``scale`` in input units."""

    unit: ClassVar[str] = "nats"
    role: ClassVar[Role | None] = "likelihood"

    def __init__(self, *, weight: NonNegative | Weight, scale: Positive) -> None:
        super().__init__(weight=weight)
        self.scale = scale

    def forward(
        self, reconstruction: Float[Tensor, "B ..."], x: Float[Tensor, "B ..."]
    ) -> Float[Tensor, " B"]:
        each = (reconstruction - x).abs() / self.scale + log(2.0 * self.scale)
        return each.flatten(1).sum(1)
