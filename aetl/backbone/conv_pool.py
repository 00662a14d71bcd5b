"""Convolutions with max pooling; for the way back upsampling or unpooling, and convolutions.

Upsampling before a convolution leaves no checkerboard, which a strided transposed convolution may
(Odena et al., Deconvolution and Checkerboard Artifacts, Distill, 2016).
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
from aetl.backbone.switches import SwitchDecoder, SwitchEncoder, Unpool
from aetl.ranges import KernelSize, Probability, Size
from aetl.types import PICTURES, ExampleKind, UserError


class ConvPool(Backbone):
    """For each of ``channels`` a convolution and a max pooling by 2, which rounds up.

    The decoder mirrors them: each step upsamples to the exact size that the encoder had there. With
    ``upsample=switches`` each value goes back to the place in its window from which the encoder's
    pooling took it; see ``SwitchDecoder`` for latents that come from no encoder.
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
        upsample: Literal["nearest", "bilinear", "switches"],
        spectral_norm: Sides,
    ) -> None:
        if kernel_size % 2 == 0:
            raise UserError(f"backbone.kernel_size={kernel_size}: must be odd (3, 5, 7, ...)")
        self.channels, self.kernel_size = tuple(channels), kernel_size
        self.activation, self.norm, self.dropout = activation, norm, dropout
        self.upsample, self.spectral_norm = upsample, spectral_norm

    def encoder(self, shape: Shape) -> tuple[nn.Sequential, Shape]:
        require_image(shape, "conv_pool")
        refuse_kernel(self.kernel_size, shape)
        inputs = (shape[0], *self.channels)
        blocks = [
            nn.Sequential(self._convolution(a, b), *self._after(b), nn.MaxPool2d(2, ceil_mode=True))
            for a, b in zip(inputs, self.channels, strict=False)
        ]
        smallest = halved((shape[1], shape[2]), len(self.channels))[-1]
        kind = SwitchEncoder if self.upsample == "switches" else nn.Sequential
        return self.sided("encoder", kind(*blocks)), (self.channels[-1], *smallest)

    def decoder(self, shape: Shape, latent_shape: Shape) -> nn.Sequential:
        require_image(shape, "conv_pool")
        sizes = halved((shape[1], shape[2]), len(self.channels))
        first, *rest = reversed(self.channels)
        start = from_latent(latent_shape, (first, *sizes[-1]))
        blocks = [nn.Sequential(*start, *self._after(first))]
        widths = [first, *rest, shape[0]]
        for i, size in enumerate(reversed(sizes[:-1])):
            up: list[nn.Module] = [self._up(size)]
            up.append(self._convolution(widths[i], widths[i + 1]))
            last = i == len(self.channels) - 1
            blocks.append(nn.Sequential(*up, *([] if last else self._after(widths[i + 1]))))
        kind = SwitchDecoder if self.upsample == "switches" else nn.Sequential
        return self.sided("decoder", kind(*blocks))

    def _up(self, size: tuple[int, int]) -> nn.Module:
        return (
            Unpool(size) if self.upsample == "switches" else nn.Upsample(size, mode=self.upsample)
        )

    def _convolution(self, inputs: int, outputs: int) -> nn.Conv2d:
        return nn.Conv2d(inputs, outputs, self.kernel_size, padding=self.kernel_size // 2)

    def _after(self, width: int) -> list[nn.Module]:
        return after_convolution(width, self.norm, self.activation, self.dropout)
