"""Emphasis on what was corrupted (Vincent et al., JMLR 11, 2010, section 4.2)."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.loss.base import LossTerm, Weight
from aetl.ranges import NonNegative


class Masked(LossTerm):
    """``sum_d w_d (reconstruction_d - x_d)^2``, where ``w`` is ``corrupted`` or ``clean``.

    Corrupted are the elements that the corruption changed: a masked zero is clean.
    """

    unit: ClassVar[str] = "squared input units"

    def __init__(
        self, *, weight: NonNegative | Weight, corrupted: NonNegative, clean: NonNegative
    ) -> None:
        super().__init__(weight=weight)
        self.on_corrupted, self.on_clean = corrupted, clean

    def forward(
        self,
        reconstruction: Float[Tensor, "B ..."],
        x: Float[Tensor, "B ..."],
        corrupted: Float[Tensor, "B ..."],
    ) -> Float[Tensor, " B"]:
        squared = (reconstruction - x).square()
        weighted = torch.where(corrupted != x, self.on_corrupted, self.on_clean) * squared
        return weighted.flatten(1).sum(1)
