"""A vision transformer over patches (Dosovitskiy et al., 2021, arXiv:2010.11929)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from aetl.backbone.base import ACTIVATIONS, Activation, Backbone, Shape, Sides
from aetl.backbone.feature_map import from_latent, require_image
from aetl.ranges import Depth, Pixels, Probability, Size
from aetl.types import PICTURES, ExampleKind, UserError

MOST = 64
"""Patches of an image, where their size is chosen by it."""


class ViT(Backbone):
    """``depth`` pre-norm transformer blocks on patches with learned positions, without class token.

    The output is the map of tokens, ``dim`` channels by rows and columns of patches, so that what
    holds for feature maps (pooling, quantisers) holds here. An image whose sides are no multiples
    of ``patch_size`` is padded with zeros, and the decoder cuts that off again. ``auto`` is the
    smallest power of two, from 2 on, that leaves at most 64 patches: attention costs their square.
    The decoder has ``decoder_depth`` blocks of ``decoder_dim``.
    """

    kinds: ClassVar[frozenset[ExampleKind]] = PICTURES

    def __init__(
        self,
        *,
        patch_size: Pixels | Literal["auto"],
        dim: Size,
        depth: Depth,
        heads: Size,
        decoder_dim: Size,
        decoder_depth: Depth,
        mlp_ratio: Depth,
        activation: Activation,
        dropout: Probability,
        spectral_norm: Sides,
    ) -> None:
        for name, width in (("dim", dim), ("decoder_dim", decoder_dim)):
            if width % heads:
                raise UserError(f"backbone.{name}={width}: must be a multiple of heads={heads}")
        self.patch_size, self.dim, self.depth, self.heads = patch_size, dim, depth, heads
        self.decoder_dim, self.decoder_depth, self.dropout = decoder_dim, decoder_depth, dropout
        self.mlp_ratio, self.activation = mlp_ratio, activation
        self.spectral_norm = spectral_norm

    def encoder(self, shape: Shape) -> tuple[nn.Sequential, Shape]:
        grid = self.grid(shape)
        blocks = [self._block(self.dim) for _ in range(self.depth)]
        embedding = PatchEmbedding(shape[0], self.patch_side(shape), grid, self.dim)
        chain = nn.Sequential(embedding, *blocks, TokenMap(self.dim, grid))
        return self.sided("encoder", chain), (self.dim, *grid)

    def decoder(self, shape: Shape, latent_shape: Shape) -> nn.Sequential:
        grid = self.grid(shape)
        start = from_latent(latent_shape, (self.decoder_dim, *grid))
        blocks = [self._block(self.decoder_dim) for _ in range(self.decoder_depth)]
        positions = Positions(self.decoder_dim, grid)
        end = PatchPixels(self.decoder_dim, self.patch_side(shape), grid, shape)
        return self.sided("decoder", nn.Sequential(nn.Sequential(*start, positions), *blocks, end))

    def grid(self, shape: Shape) -> tuple[int, int]:
        """Rows and columns of patches, rounded up."""
        size = self.patch_side(shape)
        return -(-shape[1] // size), -(-shape[2] // size)

    def patch_side(self, shape: Shape) -> int:
        """The side of a patch in pixels."""
        require_image(shape, "vit")
        if self.patch_size != "auto":
            return self.patch_size
        size = 2
        while -(-shape[1] // size) * -(-shape[2] // size) > MOST:
            size *= 2
        return size

    def _block(self, dim: int) -> nn.TransformerEncoderLayer:
        # By name where torch knows the name, which has a faster path for these.
        known = self.activation in ("relu", "gelu")
        return nn.TransformerEncoderLayer(
            dim, self.heads, self.mlp_ratio * dim, self.dropout,
            self.activation if known else ACTIVATIONS[self.activation](),
            batch_first=True, norm_first=True,
        )  # fmt: skip


class PatchEmbedding(nn.Module):
    """A dense layer on every patch, with its position added."""

    def __init__(self, channels: int, size: int, grid: tuple[int, int], dim: int) -> None:
        super().__init__()
        self.size, self.grid = size, grid
        self.project = nn.Linear(channels * size**2, dim)
        self.positions = nn.Parameter(0.02 * torch.randn(grid[0] * grid[1], dim))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B T Z"]:
        tokens: Tensor = self.project(patches(x, self.size)) + self.positions
        return tokens


class TokenMap(nn.Module):
    """Normalised tokens as a feature map."""

    def __init__(self, dim: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.norm, self.grid = nn.LayerNorm(dim), grid

    def forward(self, tokens: Float[Tensor, "B T Z"]) -> Float[Tensor, "B Z R S"]:
        normed: Tensor = self.norm(tokens)
        return normed.transpose(1, 2).reshape(len(normed), normed.shape[2], *self.grid)


class Positions(nn.Module):
    """A feature map as tokens, with their positions added."""

    def __init__(self, dim: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.positions = nn.Parameter(0.02 * torch.randn(grid[0] * grid[1], dim))

    def forward(self, h: Float[Tensor, "B Z R S"]) -> Float[Tensor, "B T Z"]:
        return h.flatten(2).transpose(1, 2) + self.positions


class PatchPixels(nn.Module):
    """Every token's pixels, put together to the image."""

    def __init__(self, dim: int, size: int, grid: tuple[int, int], shape: Shape) -> None:
        super().__init__()
        self.size, self.grid, self.shape = size, grid, shape
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, shape[0] * size**2))

    def forward(self, tokens: Float[Tensor, "B T Z"]) -> Float[Tensor, "B C H W"]:
        pixels: Tensor = self.head(tokens)
        return from_patches(pixels, self.size, self.grid, self.shape)


def patches(x: Float[Tensor, "B C H W"], size: int) -> Float[Tensor, "B T P"]:
    """Every patch's ``C size^2`` numbers, row by row of patches; zeros beyond the border."""
    down, across = (-side % size for side in x.shape[2:])
    cut = pad(x, (0, across, 0, down)).unfold(2, size, size).unfold(3, size, size)
    return cut.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)


def from_patches(
    pixels: Float[Tensor, "B T P"], size: int, grid: tuple[int, int], shape: Shape
) -> Float[Tensor, "B C H W"]:
    """The image of which these are the patches."""
    parts = pixels.view(-1, *grid, shape[0], size, size).permute(0, 3, 1, 4, 2, 5)
    whole = parts.reshape(-1, shape[0], grid[0] * size, grid[1] * size)
    return whole[:, :, : shape[1], : shape[2]]
