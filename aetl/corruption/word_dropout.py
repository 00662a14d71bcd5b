"""Words are forgotten (Iyyer et al., ACL 2015; Bowman et al., 2016, arXiv:1511.06349)."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.corruption.base import Corruption
from aetl.corruption.strength import Strength, share, strength
from aetl.data.tokens import OTHER, PADDING
from aetl.ranges import Fraction
from aetl.rng import Rng
from aetl.types import ExampleKind


class WordDropout(Corruption):
    """Each word of a text becomes the unknown one with probability ``fraction``."""

    kinds: ClassVar[frozenset[ExampleKind]] = frozenset({"tokens"})

    def __init__(self, *, fraction: Fraction | Strength) -> None:
        self.fraction = share(fraction)

    def __call__(self, x: Float[Tensor, "B L"], rng: Rng) -> Float[Tensor, "B L"]:
        forgotten = (rng.uniform(x) < strength(self.fraction, rng)) & (x != PADDING)
        return torch.where(forgotten, float(OTHER), x)
