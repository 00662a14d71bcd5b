"""L1 penalty on all weights, which makes them sparse (Goodfellow et al., Deep Learning, 7.1.2)."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.autoencoder.base import Autoencoder
from aetl.loss.base import LossTerm


class L1Weights(LossTerm):
    """``sum_w |w|`` over the matrices and kernels, the same number for every example.

    Biases and what scales a normalisation are free, and tied weights count once.
    """

    unit: ClassVar[str] = "weights"

    def forward(self, x: Float[Tensor, "B ..."], autoencoder: Autoencoder) -> Float[Tensor, " B"]:
        sums = [w.abs().sum() for w in autoencoder.parameters() if w.dim() > 1]
        return torch.stack(sums).sum().expand(len(x))
