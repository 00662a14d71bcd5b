"""L2 penalty on the decoder's weights (Ghosh et al., 2020, arXiv:1903.12436)."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.autoencoder.base import Autoencoder
from aetl.loss.base import LossTerm


class DecoderL2(LossTerm):
    """``sum_w w^2`` over the decoder's parameters, the same number for every example."""

    unit: ClassVar[str] = "squared weights"

    def forward(self, x: Float[Tensor, "B ..."], autoencoder: Autoencoder) -> Float[Tensor, " B"]:
        layers = [layer for name, layer in autoencoder.layers() if name.startswith("decoder")]
        sums = [p.square().sum() for layer in layers for p in layer.parameters()]
        return torch.stack(sums).sum().expand(len(x))
