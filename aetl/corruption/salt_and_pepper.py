"""Salt-and-pepper noise: a fraction of the elements becomes 0 or 1 (Vincent et al., 2010)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.corruption.base import Corruption
from aetl.corruption.strength import Strength, share, strength
from aetl.ranges import Fraction
from aetl.rng import Rng


class SaltAndPepper(Corruption):
    """Each element becomes 0 or 1, half and half, with probability ``fraction``."""

    def __init__(self, *, fraction: Fraction | Strength) -> None:
        self.fraction = share(fraction)

    def __call__(self, x: Float[Tensor, "B ..."], rng: Rng) -> Float[Tensor, "B ..."]:
        u, fraction = rng.uniform(x), strength(self.fraction, rng)
        damaged = torch.where(u < fraction / 2, torch.zeros_like(x), torch.ones_like(x))
        return torch.where(u < fraction, damaged, x)
