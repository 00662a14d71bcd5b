"""No corruption: the encoder sees the clean input."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from aetl.corruption.base import Corruption
from aetl.rng import Rng
from aetl.types import EVERY, ExampleKind


class NoCorruption(Corruption):
    """The identity."""

    kinds: ClassVar[frozenset[ExampleKind]] = EVERY

    def __call__(self, x: Float[Tensor, "B ..."], rng: Rng) -> Float[Tensor, "B ..."]:
        return x
