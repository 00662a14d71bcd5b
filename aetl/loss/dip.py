"""Disentangled inferred prior (Kumar, Sattigeri and Balakrishnan, 2018, arXiv:1711.00848)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.joint_batch import joint_batch
from aetl.loss.base import LossTerm, Weight
from aetl.ranges import NonNegative


class DIP(LossTerm):
    """``sum_{i != j} C_ij^2 + diagonal sum_i (C_ii - 1)^2``, the same for every example.

    ``C`` is the covariance over the batch (divided by its size) of the posterior means for kind
    ``i``, and for kind ``ii`` that plus the mean posterior variance, which is the
    covariance of ``q(z)``. ``weight`` is the paper's lambda_od, and ``diagonal`` is
    lambda_d / lambda_od.
    """

    unit: ClassVar[str] = "squared covariance"

    def __init__(
        self, *, weight: NonNegative | Weight, kind: Literal["i", "ii"], diagonal: NonNegative
    ) -> None:
        super().__init__(weight=weight)
        self.kind, self.diagonal = kind, diagonal

    def forward(
        self, mean: Float[Tensor, "B Z"], logvar: Float[Tensor, "B Z"]
    ) -> Float[Tensor, " B"]:
        means = joint_batch(mean).everyone
        centred = means - means.mean(0)
        covariance = centred.T @ centred / len(means)
        if self.kind == "ii":
            covariance = covariance + torch.diag(joint_batch(logvar.exp()).everyone.mean(0))
        diagonal = covariance.diagonal()
        off = covariance.square().sum() - diagonal.square().sum()
        return (off + self.diagonal * (diagonal - 1.0).square().sum()).expand(len(mean))
