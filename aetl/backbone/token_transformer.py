"""A small transformer over embedded tokens (Vaswani et al., 2017, arXiv:1706.03762)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aetl.backbone.base import ACTIVATIONS, Activation, Backbone, Shape, Sides
from aetl.backbone.embedding import Embedding, Logits, length_of
from aetl.ranges import Depth, Probability, Size
from aetl.types import Entries, ExampleKind, UserError


class TokenTransformer(Backbone):
    """``depth`` pre-norm blocks on tokens with learned positions, and the mean over the text.

    What fills up a text is attended by nothing and is no part of the mean. The decoder has
    ``decoder_depth`` blocks, on the projected latent at every place, and gives the logits of every
    token there: all at once, not word after word.
    """

    kinds: ClassVar[frozenset[ExampleKind]] = frozenset({"tokens"})

    def __init__(
        self,
        entries: Entries,
        *,
        dim: Size,
        depth: Depth,
        heads: Size,
        decoder_depth: Depth,
        mlp_ratio: Depth,
        activation: Activation,
        dropout: Probability,
        spectral_norm: Sides,
    ) -> None:
        if dim % heads:
            raise UserError(f"backbone.dim={dim}: must be a multiple of heads={heads}")
        self.entries, self.dim, self.depth, self.heads = entries, dim, depth, heads
        self.decoder_depth, self.mlp_ratio, self.dropout = decoder_depth, mlp_ratio, dropout
        self.activation, self.spectral_norm = activation, spectral_norm

    def encoder(self, shape: Shape) -> tuple[nn.Sequential, Shape]:
        length = length_of(shape, self.entries, "token_transformer")
        blocks = [self._block() for _ in range(self.depth)]
        encoder = TextEncoder(self.entries.tokens, self.dim, length, blocks)
        return self.sided("encoder", nn.Sequential(encoder)), (self.dim,)

    def decoder(self, shape: Shape, latent_shape: Shape) -> nn.Sequential:
        length = length_of(shape, self.entries, "token_transformer", outputs=True)
        start = nn.Sequential(
            nn.Flatten(), nn.Linear(prod(latent_shape), self.dim), Places(self.dim, length)
        )
        blocks = [self._block() for _ in range(self.decoder_depth)]
        end = nn.Sequential(nn.LayerNorm(self.dim), Logits(self.dim, self.entries.tokens))
        return self.sided("decoder", nn.Sequential(start, *blocks, end))

    def _block(self) -> nn.TransformerEncoderLayer:
        return nn.TransformerEncoderLayer(
            self.dim, self.heads, self.mlp_ratio * self.dim, self.dropout,
            ACTIVATIONS[self.activation](), batch_first=True, norm_first=True,
        )  # fmt: skip


class TextEncoder(nn.Module):
    """From the tokens of a text to the mean of what the blocks make of them."""

    def __init__(self, tokens: int, dim: int, length: int, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.embedding = Embedding(tokens, dim)
        self.positions = nn.Parameter(0.02 * torch.randn(length, dim))
        self.blocks, self.norm = nn.ModuleList(blocks), nn.LayerNorm(dim)

    def forward(self, x: Float[Tensor, "B L"]) -> Float[Tensor, "B Z"]:
        there = x > 0.5
        # A text without a word would attend nothing at all: it sees its first place.
        seen = there | (torch.arange(x.shape[1], device=x.device) == 0)
        h = self.embedding(x) + self.positions
        for block in self.blocks:
            h = block(h, src_key_padding_mask=~seen)
        weight = seen.to(h)[:, :, None]
        mean: Tensor = (self.norm(h) * weight).sum(1) / weight.sum(1)
        return mean


class Places(nn.Module):
    """A vector at every place of a text, with the place's own added."""

    def __init__(self, dim: int, length: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(0.02 * torch.randn(length, dim))

    def forward(self, h: Float[Tensor, "B Z"]) -> Float[Tensor, "B L Z"]:
        return h[:, None] + self.positions
