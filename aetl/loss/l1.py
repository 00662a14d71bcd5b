"""Absolute error, which tolerates outliers and draws to the median."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from aetl.loss.base import LossTerm


class L1(LossTerm):
    """``sum_d |reconstruction_d - x_d|``."""

    unit: ClassVar[str] = "input units"

    def forward(
        self, reconstruction: Float[Tensor, "B ..."], x: Float[Tensor, "B ..."]
    ) -> Float[Tensor, " B"]:
        return (reconstruction - x).abs().flatten(1).sum(1)
