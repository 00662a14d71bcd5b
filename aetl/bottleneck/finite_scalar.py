"""Finite scalar quantisation (Mentzer et al., 2024, arXiv:2309.15505)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Annotated

import torch
from annotated_types import Interval
from jaxtyping import Float, Int
from torch import Tensor

from aetl.backbone.base import Shape
from aetl.bottleneck.base import Bottleneck
from aetl.bottleneck.tokens import Tokens
from aetl.bottleneck.vector_quantized import QuantizedCode
from aetl.ranges import Size
from aetl.rng import Rng
from aetl.types import UserError

EDGE = 1e-3
"""The bound is this much wider than the outermost level, so that rounding reaches it."""


class FiniteScalar(Bottleneck):
    """Each number of a token is bounded and rounded to one of its ``levels``.

    The codebook is the grid of all levels, scaled to [-1, 1]: nothing is learned and there is no
    loss. The gradient passes the rounding unchanged. ``before`` is the bounded token.
    """

    levels: Tensor

    def __init__(
        self,
        in_shape: Shape,
        *,
        tokens: Size,
        levels: Sequence[Annotated[int, Interval(ge=3, le=65_536)]],
    ) -> None:
        super().__init__()
        if any(level < 3 for level in levels):
            raise UserError(f"bottleneck.levels={list(levels)}: each must be at least 3")
        self.tokens = Tokens(in_shape, tokens=tokens, dim=len(levels))
        self.latent_shape = self.tokens.latent_shape
        self.codes = prod(levels)
        self.register_buffer("levels", torch.tensor(list(levels)), persistent=False)

    def forward(self, h: Float[Tensor, "B ..."], rng: Rng | None) -> QuantizedCode:
        raw: Tensor = self.tokens(h)
        half = (self.levels - 1) * (1.0 + EDGE) / 2.0
        # An even number of levels has no level at zero: shifted by half a step, and back.
        offset = 0.5 * (self.levels % 2 == 0)
        bounded = torch.tanh(raw + torch.atanh(offset / half)) * half - offset
        rounded = bounded + (bounded.round() - bounded).detach()
        scale = self.levels // 2
        index = self._index(bounded.round().long() + scale)
        after = rounded / scale
        return QuantizedCode(self.tokens.latent(after), bounded / scale, after, index, self.codes)

    def _index(self, digits: Int[Tensor, "B T Z"]) -> Int[Tensor, "B T"]:
        """The position in the grid, the first number of a token counting least."""
        basis = torch.cumprod(self.levels, 0) // self.levels
        return (digits * basis).sum(2)
