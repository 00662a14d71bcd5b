"""KL held at a capacity that grows (Burgess et al., 2018, arXiv:1804.03599, equation 8)."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from aetl.loss.base import LossTerm, Prior, Role, Weight
from aetl.loss.kl import StandardNormalKL
from aetl.ranges import NonNegative, Share


class CapacityKL(LossTerm):
    """``|KL(q(z|x) || N(0, I)) - C|``, where C rises linearly to ``capacity`` nats.

    It gets there after ``fraction`` of the training steps, and stays. The weight is the paper's
    gamma: at 1 and a divergence above the capacity it is the plain VAE. The distance is each
    example's own.
    """

    unit: ClassVar[str] = "nats"
    prior: ClassVar[Prior | None] = "normal"
    role: ClassVar[Role | None] = "rate"

    def __init__(
        self, *, weight: NonNegative | Weight, capacity: NonNegative, fraction: Share
    ) -> None:
        super().__init__(weight=weight)
        self.capacity, self.fraction = capacity, fraction
        self.kl = StandardNormalKL(weight=1.0)

    def plain(self) -> LossTerm:
        return self.kl

    def forward(
        self, mean: Float[Tensor, "B Z"], logvar: Float[Tensor, "B Z"], progress: float
    ) -> Float[Tensor, " B"]:
        capacity = self.capacity * min(1.0, progress / self.fraction)
        distance: Tensor = (self.kl(mean, logvar) - capacity).abs()
        return distance
