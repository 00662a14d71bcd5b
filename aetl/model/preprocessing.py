"""From raw data to what a network sees: a fitted part of a model, kept as JSON.

The shift that a config puts on a domain is no part of it. A shift stands for another sensor, so new
data come from that sensor already; what it does to the run's own data belongs to the data set.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from aetl.data.align import align
from aetl.data.base import Examples
from aetl.data.npz import inputs_of
from aetl.stage.domains import Domains
from aetl.types import UserError

Layout = Literal["auto", "first", "last"]


@dataclass(frozen=True)
class Preprocessing:
    """Images take the size of the target's as they were read, then that of the source's.

    In two steps, since this is what a run's own examples went through. Vectors are taken as they
    are; ``shape`` is what the network sees.
    """

    kind: Literal["image", "vector"]
    read_shape: tuple[int, ...]
    shape: tuple[int, ...]

    @staticmethod
    def of(domains: Domains) -> Preprocessing:
        target = domains.target
        kind: Literal["image", "vector"] = "image" if target.pool.is_image else "vector"
        return Preprocessing(kind, target.read_shape, target.pool.shape)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(plain: dict[str, Any]) -> Preprocessing:
        read_shape, shape = (tuple(plain[name]) for name in ("read_shape", "shape"))
        return Preprocessing(plain["kind"], read_shape, shape)

    def read(self, where: str, x: np.ndarray, layout: Layout = "auto") -> Tensor:
        """An array of raw examples as a tensor; ``UserError`` where it is of another kind."""
        kind = "vector" if x.ndim == 2 else "image"
        if kind != self.kind:
            wanted = f"{self.kind}s of shape {self.read_shape}"
            raise UserError(f"{where} is of shape {x.shape}; this model takes {wanted}")
        if not len(x):
            return torch.zeros(0, *self.shape, dtype=torch.uint8 if kind == "image" else None)
        found = inputs_of(where, x, layout)
        if kind == "vector" and tuple(found.shape[1:]) != self.read_shape:
            raise UserError(
                f"{where} has {found.shape[1]} columns; this model takes {self.read_shape[0]}"
            )
        return found

    def __call__(self, x: Tensor) -> Examples:
        """Raw examples as the network sees them."""
        unknown = torch.full((len(x),), -1)
        examples = Examples(x, unknown, (), np.zeros(len(x), np.uint64))
        if self.kind == "image":
            for shape in (self.read_shape, self.shape):
                examples = align(examples, shape)
        return examples
