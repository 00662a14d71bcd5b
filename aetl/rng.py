"""Randomness by key.

Every random number of a run follows from a key such as (seed, stage, step) and from the
position of the example in the joint batch, never from what was drawn before. So a resumed run
and a rerun equal the plain one bit for bit, and two processes draw what one would.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int, UInt64
from torch import Tensor

Key = tuple[int | str, ...]


def key_seed(*key: int | str) -> int:
    """63 bits that follow from a key (BLAKE2b, so that near keys give unrelated streams)."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def seed_global(seed: int, device: torch.device | str = "cpu") -> None:
    """Seed what draws from torch's global sources (dropout, torchvision's transforms).

    ``torch.manual_seed`` for the CPU and this device alone. For each kind of device that is not
    there it would write down the whole call stack: half a millisecond in a training step.
    """
    torch.default_generator.manual_seed(seed)
    kind = torch.device(device).type
    if kind != "cpu":
        getattr(torch, kind).manual_seed(seed)


def uniform_by_key(keys: UInt64[np.ndarray, " N"], number: int) -> Float[np.ndarray, "N number"]:
    """``number`` numbers in [0, 1) for each key, which depend on nothing else.

    The mixer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) on a counter.
    """
    z = keys[:, None] + np.arange(1, number + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return np.asarray((z >> np.uint64(11)).astype(np.float64) * 2.0**-53)


@dataclass(frozen=True)
class Rng:
    """A source of random numbers that keeps no state: the same key and shape, the same numbers.

    With ``rank`` and ``world``, a batch is the part ``rank::world`` of a joint batch of ``total``
    examples, and gets that part of the joint draw. ``progress`` is the fraction of training that is
    done, for noise whose strength follows it; without training everything is done.
    """

    key: Key
    rank: int = 0
    world: int = 1
    total: int | None = None
    progress: float = 1.0

    @staticmethod
    def of(*key: int | str) -> Rng:
        return Rng(key)

    def fork(self, *names: int | str) -> Rng:
        """An independent source below this one."""
        return replace(self, key=(*self.key, *names))

    def generator(self, device: torch.device | str = "cpu") -> torch.Generator:
        return torch.Generator(device).manual_seed(key_seed(*self.key))

    def normal(self, like: Tensor) -> Float[Tensor, "B ..."]:
        """Standard normal numbers of the shape, type and device of ``like``."""
        shape = self._joint(like)
        drawn = torch.randn(
            shape, generator=self.generator(like.device), device=like.device, dtype=like.dtype
        )
        return self._part(drawn)

    def uniform(self, like: Tensor) -> Float[Tensor, "B ..."]:
        """Numbers in [0, 1) of the shape, type and device of ``like``."""
        shape = self._joint(like)
        drawn = torch.rand(
            shape, generator=self.generator(like.device), device=like.device, dtype=like.dtype
        )
        return self._part(drawn)

    def permutation(self, n: int) -> Int[Tensor, " n"]:
        """A random order of ``0..n-1`` (on the CPU)."""
        return torch.randperm(n, generator=self.generator())

    def _joint(self, like: Tensor) -> tuple[int, ...]:
        return (like.shape[0] if self.total is None else self.total, *like.shape[1:])

    def _part(self, drawn: Tensor) -> Tensor:
        return drawn if self.total is None else drawn[self.rank :: self.world]
