"""What a corruption is: a keyed, parameter-free map of clean inputs to damaged ones."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

from aetl.rng import Rng


class Corruption(ABC):
    """Damages inputs while training; the clean input stays the target of the reconstruction."""

    @abstractmethod
    def __call__(self, x: Float[Tensor, "B ..."], rng: Rng) -> Float[Tensor, "B ..."]:
        """The corrupted inputs, drawn from ``rng``."""
