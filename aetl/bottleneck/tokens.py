"""Tokens for quantisers: one for each position of a feature map, or some from a vector."""

from __future__ import annotations

from math import prod

from jaxtyping import Float
from torch import Tensor, nn

from aetl.backbone.base import Shape
from aetl.ranges import Size


class Tokens(nn.Module):
    """Projects the encoder's output to ``T`` tokens of ``dim`` numbers, and puts them back.

    A map ``C H W`` has ``H W`` tokens and a latent ``dim H W``; anything else has ``tokens`` and a
    flat latent.
    """

    def __init__(self, in_shape: Shape, *, tokens: Size, dim: Size) -> None:
        super().__init__()
        self.dim, self.is_map = dim, len(in_shape) == 3
        self.project: nn.Module
        if self.is_map:
            self.latent_shape: Shape = (dim, *in_shape[1:])
            self.project = nn.Conv2d(in_shape[0], dim, 1)
        else:
            self.latent_shape = (tokens * dim,)
            self.project = nn.Sequential(nn.Flatten(), nn.Linear(prod(in_shape), tokens * dim))

    def forward(self, h: Float[Tensor, "B ..."]) -> Float[Tensor, "B T Z"]:
        projected: Tensor = self.project(h)
        if self.is_map:
            return projected.flatten(2).transpose(1, 2)
        return projected.view(len(h), projected.shape[1] // self.dim, self.dim)

    def latent(self, tokens: Float[Tensor, "B T Z"]) -> Float[Tensor, "B ..."]:
        """The tokens as a latent of ``latent_shape``."""
        ordered = tokens.transpose(1, 2) if self.is_map else tokens
        return ordered.reshape(len(tokens), *self.latent_shape)
