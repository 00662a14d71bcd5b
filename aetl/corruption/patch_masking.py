"""Whole patches are set to zero (Pathak et al., 2016, arXiv:1604.07379; He et al., 2111.06377)."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.corruption.base import Corruption
from aetl.corruption.strength import Strength, share, strength
from aetl.ranges import Fraction, Pixels
from aetl.rng import Rng
from aetl.types import PICTURES, DoesNotFit, ExampleKind


class PatchMasking(Corruption):
    """Exactly ``round(fraction * patches)`` square patches of ``size`` pixels are zeroed.

    The patches lie on a grid, cut off at the right and the lower border, and all channels of one
    go together. Which ones is each example's own draw.
    """

    kinds: ClassVar[frozenset[ExampleKind]] = PICTURES

    def __init__(self, *, size: Pixels, fraction: Fraction | Strength) -> None:
        self.size, self.fraction = size, share(fraction)

    def __call__(self, x: Float[Tensor, "B ..."], rng: Rng) -> Float[Tensor, "B ..."]:
        if x.dim() != 4:
            raise DoesNotFit(
                f"corruption=patch_masking takes images, and this data has examples of shape "
                f"{tuple(x.shape[1:])}: use corruption=masking"
            )
        height, width = x.shape[2:]
        rows, columns = -(-height // self.size), -(-width // self.size)
        order = rng.uniform(x[:, 0, :1, :1].expand(-1, rows, columns)).flatten(1).argsort(1)
        hidden = round(strength(self.fraction, rng) * rows * columns)
        kept = torch.ones_like(order).scatter(1, order[:, :hidden], 0).view(-1, 1, rows, columns)
        whole = kept.repeat_interleave(self.size, 2).repeat_interleave(self.size, 3)
        return x * whole[:, :, :height, :width]
