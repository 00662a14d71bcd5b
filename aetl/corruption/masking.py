"""Masking noise: a fraction of the input's elements is set to zero (Vincent et al., 2010)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from aetl.corruption.base import Corruption
from aetl.corruption.strength import Strength, share, strength
from aetl.ranges import Fraction
from aetl.rng import Rng


class Masking(Corruption):
    """Each element is zeroed with probability ``fraction``, independently of the others."""

    def __init__(self, *, fraction: Fraction | Strength) -> None:
        self.fraction = share(fraction)

    def __call__(self, x: Float[Tensor, "B ..."], rng: Rng) -> Float[Tensor, "B ..."]:
        return x * (rng.uniform(x) >= strength(self.fraction, rng))
