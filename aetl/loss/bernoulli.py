"""Bernoulli negative log-likelihood (Kingma and Welling, 2014, arXiv:1312.6114, appendix C.1)."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from aetl.loss.base import LossTerm, Measure, Role, Support


class Bernoulli(LossTerm):
    """``-sum_d x_d log p_d + (1 - x_d) log(1 - p_d)`` with ``p = sigmoid(reconstruction)``.

    For grey values in (0, 1) this is the customary cross-entropy and no likelihood; see
    Loaiza-Ganem and Cunningham (2019, arXiv:1907.06845).
    """

    support: ClassVar[Support] = "unit"

    unit: ClassVar[str] = "nats"
    role: ClassVar[Role | None] = "likelihood"
    measure: ClassVar[Measure] = "binary"

    def forward(
        self, reconstruction: Float[Tensor, "B ..."], x: Float[Tensor, "B ..."]
    ) -> Float[Tensor, " B"]:
        values = binary_cross_entropy_with_logits(reconstruction, x, reduction="none")
        return values.flatten(1).sum(1)

    def mean(self, reconstruction: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        return torch.sigmoid(reconstruction)
