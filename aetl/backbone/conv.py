"""Strided convolutions, and transposed ones for the way back.

A stride-2 layer halves a side and rounds up, so both 7 and 8 become 4: the decoder is told
which by an output padding computed from the sizes that the encoder went through. That is what
makes odd sizes come back exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

from torch import nn

from aetl.backbone.base import ACTIVATIONS, Activation, Backbone, Shape
from aetl.types import UserError


class Conv(Backbone):
    """One stride-2 convolution for each of ``channels``; the decoder mirrors them."""

    def __init__(
        self,
        *,
        channels: Sequence[int],
        kernel_size: int,
        activation: Activation,
        norm: Literal["none", "batch", "group"],
        dropout: float,
    ) -> None:
        if kernel_size % 2 == 0:
            raise UserError(f"backbone.kernel_size={kernel_size}: must be odd (3, 5, 7, ...)")
        self.channels = tuple(channels)
        self.kernel_size = kernel_size
        self.activation = activation
        self.norm = norm
        self.dropout = dropout

    def encoder(self, shape: Shape) -> tuple[nn.Sequential, Shape]:
        sizes = self._sizes(shape)
        blocks = [
            nn.Sequential(
                nn.Conv2d(a, b, self.kernel_size, stride=2, padding=self.kernel_size // 2),
                *self._after(b),
            )
            for a, b in zip((shape[0], *self.channels), self.channels, strict=False)
        ]
        return nn.Sequential(*blocks), (self.channels[-1], *sizes[-1])

    def decoder(self, shape: Shape, latent_shape: Shape) -> nn.Sequential:
        sizes = self._sizes(shape)
        smallest = (self.channels[-1], *sizes[-1])
        blocks = [self._expand(latent_shape, smallest)]
        widths = (*reversed(self.channels[:-1]), shape[0])
        for i, (a, b) in enumerate(zip(reversed(self.channels), widths, strict=True)):
            (h, w), (big_h, big_w) = sizes[-1 - i], sizes[-2 - i]
            up = nn.ConvTranspose2d(
                a,
                b,
                self.kernel_size,
                stride=2,
                padding=self.kernel_size // 2,
                output_padding=(big_h - (2 * h - 1), big_w - (2 * w - 1)),
            )
            last = i == len(widths) - 1
            blocks.append(nn.Sequential(up) if last else nn.Sequential(up, *self._after(b)))
        return nn.Sequential(*blocks)

    def _sizes(self, shape: Shape) -> list[tuple[int, int]]:
        if len(shape) != 3:
            raise UserError(
                f"backbone=conv takes images, and this data has examples of shape {shape}: "
                "use backbone=mlp"
            )
        sizes = [(shape[1], shape[2])]
        for _ in self.channels:
            h, w = sizes[-1]
            sizes.append(((h + 1) // 2, (w + 1) // 2))
        return sizes

    def _expand(self, latent_shape: Shape, smallest: Shape) -> nn.Sequential:
        """From the latent to the smallest feature map: dense from a vector, 1x1 from a map."""
        if len(latent_shape) == 1:
            start: list[nn.Module] = [
                nn.Linear(latent_shape[0], prod(smallest)),
                nn.Unflatten(1, smallest),
            ]
        else:
            start = [nn.Conv2d(latent_shape[0], smallest[0], 1)]
        return nn.Sequential(*start, *self._after(smallest[0]))

    def _after(self, width: int) -> list[nn.Module]:
        groups = max(g for g in range(1, 9) if width % g == 0)
        norms: dict[str, list[nn.Module]] = {
            "none": [],
            "batch": [nn.BatchNorm2d(width)],
            "group": [nn.GroupNorm(groups, width)],
        }
        dropout = [nn.Dropout2d(self.dropout)] if self.dropout else []
        return [*norms[self.norm], ACTIVATIONS[self.activation](), *dropout]
