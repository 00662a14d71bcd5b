"""Multinomial likelihood of counts (Liang et al., WWW 2018, arXiv:1802.05814, equation 2)."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.loss.base import LossTerm, Measure, Role, Support


class Multinomial(LossTerm):
    """``-log Mult(x; n, softmax(reconstruction))`` with ``n = sum_d x_d``, coefficient included.

    The paper leaves out the multinomial coefficient, which no parameter moves; with it the number
    is a likelihood. The coefficient of fractional counts is the gamma function's.
    """

    support: ClassVar[Support] = "counts"

    unit: ClassVar[str] = "nats"
    role: ClassVar[Role | None] = "likelihood"
    measure: ClassVar[Measure] = "counts"

    def forward(
        self, reconstruction: Float[Tensor, "B ..."], x: Float[Tensor, "B ..."]
    ) -> Float[Tensor, " B"]:
        counts = x.flatten(1)
        each = counts * torch.log_softmax(reconstruction.flatten(1), 1)
        coefficient = torch.lgamma(counts.sum(1) + 1.0) - torch.lgamma(counts + 1.0).sum(1)
        return -each.sum(1) - coefficient

    def mean(self, reconstruction: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        """The shares of the counts, which sum to 1: their number is not in the decoder."""
        return torch.softmax(reconstruction.flatten(1), 1).view_as(reconstruction)
