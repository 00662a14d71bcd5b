"""The k largest units of a linear code (Makhzani and Frey, 2014, arXiv:1312.5663)."""

from __future__ import annotations

from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aetl.backbone.base import Shape
from aetl.bottleneck.base import Bottleneck
from aetl.ranges import Size
from aetl.rng import Rng
from aetl.types import Code, UserError


class KSparse(Bottleneck):
    """``z = W h + b`` with all but the ``k`` largest elements of each example set to zero.

    While training ``k`` are kept, in eval mode (so for features too) ``eval_k``: the paper gets
    better features from about three times as many.
    """

    def __init__(self, in_shape: Shape, *, latent_dim: Size, k: Size, eval_k: Size) -> None:
        super().__init__()
        for name, number in (("k", k), ("eval_k", eval_k)):
            if not 1 <= number <= latent_dim:
                raise UserError(f"bottleneck.{name}={number}: must be 1 to latent_dim={latent_dim}")
        self.latent_shape = (latent_dim,)
        self.k, self.eval_k = k, eval_k
        self.project = nn.Sequential(nn.Flatten(), nn.Linear(prod(in_shape), latent_dim))

    def forward(self, h: Float[Tensor, "B ..."], rng: Rng | None) -> Code:
        z = self.project(h)
        kept = z.topk(self.k if self.training else self.eval_k, 1)
        return Code(torch.zeros_like(z).scatter(1, kept.indices, kept.values))
