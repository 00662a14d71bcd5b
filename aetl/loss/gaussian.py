"""Gaussian likelihood with one standard deviation for all elements, fixed or learned.

Learned as in sigma-VAE (Rybkin, Daniilidis and Levine, 2021, arXiv:2006.13202).
"""

from __future__ import annotations

from math import log, pi
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aetl.loss.base import LossTerm, Role, Weight
from aetl.ranges import NonNegative, Positive


class Gaussian(LossTerm):
    """``-sum_d log N(x_d; reconstruction_d, sigma^2)``.

    With ``learned`` the given ``sigma`` (in input units) is where training starts.
    """

    unit: ClassVar[str] = "nats"
    role: ClassVar[Role | None] = "likelihood"

    def __init__(self, *, weight: NonNegative | Weight, sigma: Positive, learned: bool) -> None:
        super().__init__(weight=weight)
        self.log_sigma = nn.Parameter(torch.tensor(log(sigma)), requires_grad=learned)

    def forward(
        self, reconstruction: Float[Tensor, "B ..."], x: Float[Tensor, "B ..."]
    ) -> Float[Tensor, " B"]:
        standard = (x - reconstruction) * torch.exp(-self.log_sigma)
        each = 0.5 * standard.square() + self.log_sigma + 0.5 * log(2.0 * pi)
        return each.flatten(1).sum(1)
