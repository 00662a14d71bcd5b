"""Vector quantisation (van den Oord, Vinyals and Kavukcuoglu, 2017, arXiv:1711.00937)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from aetl.backbone.base import Shape
from aetl.bottleneck.base import Bottleneck
from aetl.bottleneck.tokens import Tokens
from aetl.ranges import Size
from aetl.rng import Rng
from aetl.types import Code


@dataclass(frozen=True)
class QuantizedCode(Code):
    """The quantised latent, the tokens before and after, and which of the ``codes`` they took.

    ``aetl.autoencoder.monitor`` makes perplexity and usage of ``index`` and ``codes``.
    """

    before: Float[Tensor, "B T Z"]
    after: Float[Tensor, "B T Z"]
    index: Int[Tensor, "B T"]
    codes: int


class VectorQuantized(Bottleneck):
    """Each token becomes the nearest of ``codes`` learned vectors (equations 1 and 2).

    The latent has the codes' values and hands its gradient to the tokens unchanged. The codebook
    learns by its loss term (equation 3), not by moving averages: those would be state that a
    batch leaves behind.
    """

    def __init__(self, in_shape: Shape, *, tokens: Size, dim: Size, codes: Size) -> None:
        super().__init__()
        self.tokens = Tokens(in_shape, tokens=tokens, dim=dim)
        self.latent_shape = self.tokens.latent_shape
        self.codebook = nn.Parameter(torch.empty(codes, dim).uniform_(-1.0 / codes, 1.0 / codes))

    def forward(self, h: Float[Tensor, "B ..."], rng: Rng | None) -> QuantizedCode:
        before: Tensor = self.tokens(h)
        index = nearest(before, self.codebook)
        after = self.codebook[index]
        passed = before + (after - before).detach()
        return QuantizedCode(self.tokens.latent(passed), before, after, index, len(self.codebook))


def nearest(tokens: Float[Tensor, "B T Z"], codebook: Float[Tensor, "K Z"]) -> Int[Tensor, "B T"]:
    """The code nearest to each token."""
    flat, codes = tokens.detach().flatten(0, 1), codebook.detach()
    # |t - c|^2 without |t|^2, which no code can change.
    distance = codes.square().sum(1) - 2.0 * flat @ codes.T
    return distance.argmin(1).view(tokens.shape[:2])
