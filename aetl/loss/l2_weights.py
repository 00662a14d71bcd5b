"""L2 penalty on all weights (Goodfellow et al., Deep Learning, 7.1.1, there halved)."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.autoencoder.base import Autoencoder
from aetl.loss.base import LossTerm


class L2Weights(LossTerm):
    """``sum_w w^2`` over the matrices and kernels, the same number for every example.

    Biases and what scales a normalisation are free, and tied weights count once.
    """

    unit: ClassVar[str] = "squared weights"

    def forward(self, x: Float[Tensor, "B ..."], autoencoder: Autoencoder) -> Float[Tensor, " B"]:
        sums = [w.square().sum() for w in autoencoder.parameters() if w.dim() > 1]
        return torch.stack(sums).sum().expand(len(x))
