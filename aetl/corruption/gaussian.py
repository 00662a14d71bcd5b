"""Additive isotropic Gaussian noise (Vincent et al., JMLR 11, 2010, section 3.3)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from aetl.corruption.base import Corruption
from aetl.corruption.strength import Strength, strength
from aetl.ranges import NonNegative
from aetl.rng import Rng


class Gaussian(Corruption):
    """``x + std * e`` with ``e ~ N(0, I)``; ``std`` in the units of the input. Not clipped."""

    def __init__(self, *, std: NonNegative | Strength) -> None:
        self.std = std

    def __call__(self, x: Float[Tensor, "B ..."], rng: Rng) -> Float[Tensor, "B ..."]:
        return x + strength(self.std, rng) * rng.normal(x)
