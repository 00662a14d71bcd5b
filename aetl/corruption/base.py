"""What a corruption is: a keyed, parameter-free map of clean inputs to damaged ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from aetl.rng import Rng
from aetl.types import NUMBERS, ExampleKind


class Corruption(ABC):
    """Damages inputs while training; the clean input stays the target of the reconstruction."""

    kinds: ClassVar[frozenset[ExampleKind]] = NUMBERS
    """What examples it takes; others are refused before any work."""

    @abstractmethod
    def __call__(self, x: Float[Tensor, "B ..."], rng: Rng) -> Float[Tensor, "B ..."]:
        """The corrupted inputs, drawn from ``rng``."""
