"""Codebook and commitment loss (van den Oord et al., 2017, arXiv:1711.00937, equation 3)."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from aetl.loss.base import LossTerm, Weight
from aetl.ranges import NonNegative


class VectorQuantization(LossTerm):
    """``sum |sg[before] - after|^2 + commitment |before - sg[after]|^2`` over the tokens.

    The first part moves the codes to the tokens, the second the encoder to its codes.
    """

    unit: ClassVar[str] = "squared latent units"

    def __init__(self, *, weight: NonNegative | Weight, commitment: NonNegative) -> None:
        super().__init__(weight=weight)
        self.commitment = commitment

    def forward(
        self, before: Float[Tensor, "B T Z"], after: Float[Tensor, "B T Z"]
    ) -> Float[Tensor, " B"]:
        codebook = (before.detach() - after).square()
        commitment = (before - after.detach()).square()
        return (codebook + self.commitment * commitment).flatten(1).sum(1)
