"""Squared error: twice the negative log-likelihood of a unit Gaussian, less a constant."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from aetl.loss.base import LossTerm


class SquaredError(LossTerm):
    """``sum_d (reconstruction_d - x_d)^2`` over the elements of an example, not their mean."""

    unit: ClassVar[str] = "squared input units"

    def forward(
        self, reconstruction: Float[Tensor, "B ..."], x: Float[Tensor, "B ..."]
    ) -> Float[Tensor, " B"]:
        return (reconstruction - x).square().flatten(1).sum(1)
