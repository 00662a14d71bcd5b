"""Squared error to the target that the autoencoder names, where that is not the input itself."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from aetl.loss.base import LossTerm


class TargetError(LossTerm):
    """``sum_d (reconstruction_d - target_d)^2``: codes of the layer below, in a stack of layers."""

    unit: ClassVar[str] = "squared target units"

    def forward(
        self, reconstruction: Float[Tensor, "B ..."], target: Float[Tensor, "B ..."]
    ) -> Float[Tensor, " B"]:
        return (reconstruction - target).square().flatten(1).sum(1)
