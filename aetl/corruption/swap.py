"""Cells that take another row's value (Yoon et al., 2020; Bahri et al., 2022, arXiv:2106.15147)."""

from __future__ import annotations

from functools import cache
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aetl.corruption.base import Corruption
from aetl.corruption.strength import Strength, share, strength
from aetl.joint_batch import joint_batch
from aetl.ranges import Fraction
from aetl.rng import Rng
from aetl.types import Entries, ExampleKind


class Swap(Corruption):
    """Each cell takes with probability ``fraction`` the value of another row of the joint batch.

    Each from a row of its own, so that columns keep their distributions and lose what ties them
    together (VIME's and SCARF's corruption; SCARF draws the number of cells, too). The columns of
    a category are one cell, and so are a number and the mark of where it was absent.
    """

    kinds: ClassVar[frozenset[ExampleKind]] = frozenset({"vector"})

    def __init__(self, entries: Entries, *, fraction: Fraction | Strength) -> None:
        self.entries, self.fraction = entries, share(fraction)

    def __call__(self, x: Float[Tensor, "B D"], rng: Rng) -> Float[Tensor, "B D"]:
        everyone, own = joint_batch(x)
        first = first_of(self.entries, x.shape[1], x.device)
        hidden = rng.fork("which").uniform(x)[:, first] < strength(self.fraction, rng)
        others = len(everyone) - 1
        if not others:
            return x
        step = (rng.fork("row").uniform(x) * others).long().clamp_max(others - 1)[:, first]
        place = torch.arange(len(everyone), device=x.device)[own, None]
        return torch.where(hidden, everyone.gather(0, (place + 1 + step) % len(everyone)), x)


@cache
def first_of(entries: Entries, width: int, device: torch.device) -> Int[Tensor, " D"]:
    """``entries.first``, on the device once."""
    return torch.tensor(entries.first(width), device=device)
