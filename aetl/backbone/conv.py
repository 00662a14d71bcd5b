"""Strided convolutions, and transposed ones for the way back.

A stride-2 layer halves a side and rounds up, so both 7 and 8 become 4: the decoder is told
which by an output padding computed from the sizes that the encoder went through. That is what
makes odd sizes come back exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import nn

from aetl.backbone.base import Activation, Backbone, Shape, Sides
from aetl.backbone.feature_map import (
    after_convolution,
    from_latent,
    halved,
    refuse_kernel,
    require_image,
)
from aetl.backbone.tied import TiedConvTranspose2d
from aetl.ranges import KernelSize, Probability, Size
from aetl.types import PICTURES, ExampleKind, UserError


class Conv(Backbone):
    """One stride-2 convolution for each of ``channels``; the decoder mirrors them.

    With ``tied`` the decoder's weights are the encoder's and the bottleneck's, transposed.
    """

    kinds: ClassVar[frozenset[ExampleKind]] = PICTURES

    def __init__(
        self,
        *,
        channels: Sequence[Size],
        kernel_size: KernelSize,
        activation: Activation,
        norm: Literal["none", "batch", "group"],
        dropout: Probability,
        tied: bool,
        spectral_norm: Sides,
    ) -> None:
        if kernel_size % 2 == 0:
            raise UserError(f"backbone.kernel_size={kernel_size}: must be odd (3, 5, 7, ...)")
        self.channels = tuple(channels)
        self.kernel_size = kernel_size
        self.activation = activation
        self.norm = norm
        self.dropout = dropout
        self.tied, self.spectral_norm = tied, spectral_norm

    def encoder(self, shape: Shape) -> tuple[nn.Sequential, Shape]:
        sizes = self._sizes(shape)
        refuse_kernel(self.kernel_size, shape)
        blocks = [
            nn.Sequential(
                nn.Conv2d(a, b, self.kernel_size, stride=2, padding=self.kernel_size // 2),
                *self._after(b),
            )
            for a, b in zip((shape[0], *self.channels), self.channels, strict=False)
        ]
        return self.sided("encoder", nn.Sequential(*blocks)), (self.channels[-1], *sizes[-1])

    def decoder(self, shape: Shape, latent_shape: Shape) -> nn.Sequential:
        sizes = self._sizes(shape)
        smallest = (self.channels[-1], *sizes[-1])
        start = from_latent(latent_shape, smallest, self.tied)
        blocks = [nn.Sequential(*start, *self._after(smallest[0]))]
        convolution = TiedConvTranspose2d if self.tied else nn.ConvTranspose2d
        widths = (*reversed(self.channels[:-1]), shape[0])
        for i, (a, b) in enumerate(zip(reversed(self.channels), widths, strict=True)):
            (h, w), (big_h, big_w) = sizes[-1 - i], sizes[-2 - i]
            up = convolution(
                a,
                b,
                self.kernel_size,
                stride=2,
                padding=self.kernel_size // 2,
                output_padding=(big_h - (2 * h - 1), big_w - (2 * w - 1)),
            )
            last = i == len(widths) - 1
            blocks.append(nn.Sequential(up) if last else nn.Sequential(up, *self._after(b)))
        return self.sided("decoder", nn.Sequential(*blocks))

    def _sizes(self, shape: Shape) -> list[tuple[int, int]]:
        require_image(shape, "conv")
        return halved((shape[1], shape[2]), len(self.channels))

    def _after(self, width: int) -> list[nn.Module]:
        return after_convolution(width, self.norm, self.activation, self.dropout)
