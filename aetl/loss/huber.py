"""Huber's loss: squared near zero, absolute far from it (Huber, 1964)."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import huber_loss

from aetl.loss.base import LossTerm, Weight
from aetl.ranges import NonNegative, Positive


class Huber(LossTerm):
    """``sum_d e_d^2 / 2`` for errors up to ``delta``, ``delta (|e_d| - delta / 2)`` beyond."""

    unit: ClassVar[str] = "squared input units"

    def __init__(self, *, weight: NonNegative | Weight, delta: Positive) -> None:
        super().__init__(weight=weight)
        self.delta = delta

    def forward(
        self, reconstruction: Float[Tensor, "B ..."], x: Float[Tensor, "B ..."]
    ) -> Float[Tensor, " B"]:
        each = huber_loss(reconstruction, x, reduction="none", delta=self.delta)
        return each.flatten(1).sum(1)
