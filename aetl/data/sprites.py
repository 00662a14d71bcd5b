"""Shapes of known factors: shape, size, angle and place.

After dSprites (L. Matthey, I. Higgins, D. Hassabis, A. Lerchner, 2017): the same five factors and
numbers of values, drawn here from their formulas.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Interval
from jaxtyping import Float, Int, UInt8

from aetl.data.base import Dataset, Examples
from aetl.ranges import Seed
from aetl.rng import key_seed

SHAPES = ("square", "ellipse", "heart")
FACTORS = {"shape": 3, "size": 6, "angle": 40, "x": 32, "y": 32}
"""How many values each factor has."""
BLOCK = 256


@dataclass(frozen=True, kw_only=True)
class Sprites(Dataset):
    """``number`` different white shapes on black of ``side`` pixels, drawn from all 737 280.

    ``target`` is the factor that is asked for: the shape as a class, each other one as a number in
    [0, 1]. ``Examples.factors`` holds all five as integers. A pixel is the part of it that
    is covered, seen on 4 x 4 points.
    """

    number: Annotated[int, Interval(ge=1, le=3 * 6 * 40 * 32 * 32)]
    side: Annotated[int, Interval(ge=8, le=512)]
    target: Literal["shape", "size", "angle", "x", "y"]
    data_seed: Seed

    def read(self) -> tuple[Examples, None]:
        rng = np.random.default_rng(key_seed("sprites", self.data_seed))
        total = int(np.prod(list(FACTORS.values())))
        chosen = rng.permutation(total)[: self.number]
        factors = np.stack(np.unravel_index(chosen, tuple(FACTORS.values())), 1).astype(np.int64)
        x = np.concatenate(
            [drawn(factors[i : i + BLOCK], self.side) for i in range(0, len(factors), BLOCK)]
        )
        values = torch.from_numpy(factors[:, list(FACTORS).index(self.target)])
        if self.target != "shape":
            values = values.float() / (FACTORS[self.target] - 1)
        classes = SHAPES if self.target == "shape" else ()
        examples = Examples.of(torch.from_numpy(x)[:, None], values, classes)
        return replace(examples, factors=factors, reading={"factors": list(FACTORS)}), None

    def kept_by(self) -> Any:
        """Drawn once."""
        return {k: getattr(self, k) for k in ("number", "side", "target", "data_seed")}


def drawn(factors: Int[np.ndarray, "N 5"], side: int) -> UInt8[np.ndarray, "N S S"]:
    """The pictures of shape, size, angle, x and y."""
    points = (np.arange(4 * side, dtype=np.float32) + 0.5) / (2 * side) - 1  # of [-1, 1]
    size, angle, x, y = factors.T[1:, :, None, None].astype(np.float32)
    # Whole wherever the middle is: at most 0.39 from it, which is at most 0.5 out.
    radius = 0.15 + 0.03 * size
    turn = 2 * np.pi * angle / FACTORS["angle"]
    u = (points[None, None, :] - (x / (FACTORS["x"] - 1) - 0.5)) / radius
    v = (points[None, :, None] - (y / (FACTORS["y"] - 1) - 0.5)) / radius
    cos, sin = np.cos(turn), np.sin(turn)
    inside = np.empty((len(factors), 4 * side, 4 * side), bool)
    for shape, covers in enumerate((_square, _ellipse, _heart)):
        of = np.flatnonzero(factors[:, 0] == shape)
        a, b, c, s = u[of], v[of], cos[of], sin[of]
        inside[of] = covers(c * a + s * b, c * b - s * a)
    covered = inside.reshape(len(factors), side, 4, side, 4).sum((2, 4), dtype=np.uint8)
    return np.asarray(np.round(covered * (255 / 16)), np.uint8)


Plane = Float[np.ndarray, "N S S"]


def _square(p: Plane, q: Plane) -> np.ndarray:
    return np.asarray(np.maximum(np.abs(p), np.abs(q)) <= 0.9)


def _ellipse(p: Plane, q: Plane) -> np.ndarray:
    return np.asarray(p * p + 4 * q * q <= 1.3)


def _heart(p: Plane, q: Plane) -> np.ndarray:
    """``(a^2 + b^2 - 1)^3 <= a^2 b^3``, its point below."""
    a, b = np.square(1.15 * p), -1.15 * q
    rest = a + b * b - 1
    return np.asarray(rest * rest * rest <= a * b * b * b)
