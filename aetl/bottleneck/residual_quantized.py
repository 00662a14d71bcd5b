"""Residual vector quantisation (Zeghidour et al., 2021, arXiv:2107.03312, algorithm 1).

With the losses of RQ-VAE (Lee et al., 2022, arXiv:2203.01941, section 3.1).
"""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Interval
from jaxtyping import Float
from torch import Tensor, nn

from aetl.backbone.base import Shape
from aetl.bottleneck.base import Bottleneck
from aetl.bottleneck.tokens import Tokens
from aetl.bottleneck.vector_quantized import QuantizedCode, nearest
from aetl.ranges import Size
from aetl.rng import Rng


class ResidualQuantized(Bottleneck):
    """Each token is the sum of one vector of each of ``depth`` learned codebooks.

    A codebook quantises what those before it left over. ``before`` and ``after`` hold every
    token's leftovers and codes, depth by depth, so that the loss of plain vector quantisation
    trains all codebooks (the paper: by moving averages), and ``index`` counts the codes through:
    codebook ``d`` has the numbers from ``d * codes``. The gradient passes to the token unchanged.
    """

    def __init__(
        self,
        in_shape: Shape,
        *,
        tokens: Size,
        dim: Size,
        codes: Size,
        depth: Annotated[int, Interval(ge=1, le=64)],
    ) -> None:
        super().__init__()
        self.tokens = Tokens(in_shape, tokens=tokens, dim=dim)
        self.latent_shape = self.tokens.latent_shape
        start = torch.empty(depth, codes, dim).uniform_(-1.0 / codes, 1.0 / codes)
        self.codebooks = nn.Parameter(start)

    def forward(self, h: Float[Tensor, "B ..."], rng: Rng | None) -> QuantizedCode:
        token: Tensor = self.tokens(h)
        before, after, index = [], [], []
        rest = token
        for number, codebook in enumerate(self.codebooks):
            chosen = nearest(rest, codebook)
            before.append(rest)
            after.append(codebook[chosen])
            index.append(chosen + number * len(codebook))
            rest = rest - after[-1].detach()
        passed = token + (sum(after) - token).detach()
        latent, codes = self.tokens.latent(passed), self.codebooks.shape[:2].numel()
        return QuantizedCode(
            latent, torch.cat(before, 1), torch.cat(after, 1), torch.cat(index, 1), codes
        )
