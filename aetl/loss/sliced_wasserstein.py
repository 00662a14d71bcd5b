"""Sliced Wasserstein distance of the codes from the prior (Kolouri et al., arXiv:1804.01947)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from annotated_types import Interval
from jaxtyping import Float
from torch import Tensor

from aetl.joint_batch import joint_batch
from aetl.loss.base import LossTerm, Prior, Weight
from aetl.ranges import NonNegative
from aetl.rng import Rng


class SlicedWasserstein(LossTerm):
    """``W_2^2`` of the codes and as many draws from ``N(0, I)``, on random directions.

    On each of ``directions`` unit vectors both are sorted and paired in order, which is the
    optimal transport on a line. An example's number is its squared distance to its partner,
    averaged over the directions; the mean over the batch is the distance.
    """

    unit: ClassVar[str] = "squared latent units"
    prior: ClassVar[Prior | None] = "normal"

    def __init__(
        self, *, weight: NonNegative | Weight, directions: Annotated[int, Interval(ge=1, le=65_536)]
    ) -> None:
        super().__init__(weight=weight)
        self.directions = directions

    def forward(self, latent: Float[Tensor, "B ..."], rng: Rng) -> Float[Tensor, " B"]:
        own = latent.flatten(1)
        rng = rng.fork("sliced_wasserstein")
        z, at = joint_batch(own)
        p = joint_batch(rng.normal(own)).everyone
        axes = self._axes(own, rng.fork("directions"))
        projected, prior = z @ axes, (p @ axes).sort(0).values
        order = projected.argsort(0)
        partner = torch.empty_like(prior).scatter_(0, order, prior)
        distance: Tensor = (projected - partner).square().mean(1)
        return distance[at]

    def _axes(self, like: Tensor, rng: Rng) -> Float[Tensor, "Z P"]:
        """The same directions on every rank: they are not a draw for each example."""
        shape = (like.shape[1], self.directions)
        generator = rng.generator(like.device)
        drawn = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
        return drawn / drawn.square().sum(0).sqrt()
