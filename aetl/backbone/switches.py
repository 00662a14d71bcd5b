"""Max pooling that remembers where each maximum was, and its inverse (Zeiler and Fergus, 2014).

arXiv:1311.2901, section 2.1: the switches tell unpooling where to put each value. They pass by the
bottleneck, so a decoder that has them is told more than the latent holds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

Switches = Sequence[Int[Tensor, "B ..."]]


class SwitchEncoder(nn.Sequential):
    """Blocks that each end in a max pooling by 2, rounded up."""

    def with_switches(
        self, x: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, "B K h w"], Switches]:
        """The output, and of every pooling the places of the maxima, counted row by row."""
        switches = []
        for block in self:
            assert isinstance(block, nn.Sequential)
            for layer in block[:-1]:
                x = layer(x)
            x, places = max_pool2d(x, 2, ceil_mode=True, return_indices=True)
            switches.append(places)
        return x, switches


class SwitchDecoder(nn.Sequential):
    """A start, then blocks that each begin with an ``Unpool``."""

    def forward(
        self, z: Float[Tensor, "B ..."], switches: Switches | None = None
    ) -> Float[Tensor, "B C H W"]:
        """The decoded latents, with the encoder's switches or without any."""
        first, *blocks = self
        h: Tensor = first(z)
        for i, block in enumerate(blocks):
            assert isinstance(block, nn.Sequential)
            h = block[0](h, None if switches is None else switches[-1 - i])
            for layer in block[1:]:
                h = layer(h)
        return h


class Unpool(nn.Module):
    """Every value at the place that its switch tells, zeros elsewhere.

    Without switches, as where a latent is decoded that no encoder made, the place is the upper left
    one of the window (Dosovitskiy et al., 2015, arXiv:1411.5928, section 3.3).
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(
        self, h: Float[Tensor, "B C h w"], places: Int[Tensor, "B C h w"] | None = None
    ) -> Float[Tensor, "B C H W"]:
        if places is None:
            rows, columns = (2 * torch.arange(side, device=h.device) for side in h.shape[2:])
            places = (rows[:, None] * self.size[1] + columns).expand(h.shape)
        empty = h.new_zeros((*h.shape[:2], self.size[0] * self.size[1]))
        return empty.scatter(2, places.flatten(2), h.flatten(2)).view(*h.shape[:2], *self.size)
