"""Categorical likelihood of grey levels (van den Oord et al., 2016, arXiv:1601.06759)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from annotated_types import Interval
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from aetl.loss.base import LossTerm, Measure, Role, Support, Weight
from aetl.ranges import NonNegative
from aetl.types import UserError


class Categorical(LossTerm):
    """``-sum_d log softmax(reconstruction_d)[level of x_d]`` over ``levels`` levels of each value.

    The decoder gives ``levels`` logits a value: all values' first logits, then all second ones. An
    ``x`` in [0, 1] has the level ``round((levels - 1) x)``, which is exact for 256 levels of
    images of 8 bits. The mean is the expectation over the levels.
    """

    support: ClassVar[Support] = "unit"

    unit: ClassVar[str] = "nats"
    role: ClassVar[Role | None] = "likelihood"
    measure: ClassVar[Measure] = "levels"

    def __init__(
        self, *, weight: NonNegative | Weight, levels: Annotated[int, Interval(ge=2, le=65_536)]
    ) -> None:
        super().__init__(weight=weight)
        if levels < 2:
            raise UserError(f"loss.reconstruction.levels={levels}: must be at least 2")
        self.outputs = self.levels = levels

    def forward(
        self, reconstruction: Float[Tensor, "B ..."], x: Float[Tensor, "B ..."]
    ) -> Float[Tensor, " B"]:
        values = cross_entropy(self._logits(reconstruction), self._level(x), reduction="none")
        return values.sum(1)

    def mean(self, reconstruction: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        logits = self._logits(reconstruction)
        at = torch.linspace(0.0, 1.0, self.levels, dtype=logits.dtype, device=logits.device)
        means = torch.einsum("bkd,k->bd", logits.softmax(1), at)
        first, *rest = reconstruction.shape[1:]
        return means.view(-1, first // self.levels, *rest)

    def _logits(self, reconstruction: Float[Tensor, "B ..."]) -> Float[Tensor, "B K D"]:
        flat = reconstruction.flatten(1)
        return flat.view(len(flat), self.levels, flat.shape[1] // self.levels)

    def _level(self, x: Float[Tensor, "B ..."]) -> Int[Tensor, "B D"]:
        return ((self.levels - 1) * x.clamp(0.0, 1.0)).round().long().flatten(1)
