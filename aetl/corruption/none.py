"""No corruption: the encoder sees the clean input."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from aetl.corruption.base import Corruption
from aetl.rng import Rng


class NoCorruption(Corruption):
    """The identity."""

    def __call__(self, x: Float[Tensor, "B ..."], rng: Rng) -> Float[Tensor, "B ..."]:
        return x
