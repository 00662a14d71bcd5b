"""Structural dissimilarity over scales (Wang, Simoncelli and Bovik, Asilomar, 2003)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from aetl.loss.base import LossTerm, Support, Weight
from aetl.loss.ssim import similarity
from aetl.ranges import KernelSize, NonNegative, Positive
from aetl.types import PICTURES, ExampleKind, UserError

SMALLEST = 1e-6
"""A scale's mean is at least this: a negative one has no power."""


class MSSSIM(LossTerm):
    """``(1 - MS-SSIM) * C H W``, with ``MS-SSIM`` the mean over channels of equation 7.

    Each halving of the image (the mean of 2x2 pixels) has one of ``weights`` as its exponent, on
    the mean over the image of contrast and structure, and at the last scale of luminance too. As
    in the authors' code the mean comes before the power. Values are taken on the scale of [0, 1].
    """

    support: ClassVar[Support] = "unit"

    kinds: ClassVar[frozenset[ExampleKind]] = PICTURES

    unit: ClassVar[str] = "structural dissimilarity, summed over elements"

    def __init__(
        self,
        *,
        weight: NonNegative | Weight,
        window: KernelSize,
        sigma: Positive,
        weights: Sequence[NonNegative],
    ) -> None:
        super().__init__(weight=weight)
        if window % 2 == 0:
            raise UserError(f"loss.reconstruction.window={window}: must be odd (7, 9, 11, ...)")
        self.window, self.sigma, self.weights = window, sigma, tuple(weights)

    def forward(
        self, reconstruction: Float[Tensor, "B ..."], x: Float[Tensor, "B ..."]
    ) -> Float[Tensor, " B"]:
        self._refuse(tuple(x.shape[1:]))
        a, b, total = reconstruction, x, torch.ones_like(x[:, :, 0, 0])
        for number, weight in enumerate(self.weights):
            if number:
                a, b = avg_pool2d(a, 2), avg_pool2d(b, 2)
            luminance, structure = similarity(a, b, self.window, self.sigma)
            last = number == len(self.weights) - 1
            means = (luminance * structure if last else structure).mean((2, 3))
            total = total * means.clamp(min=SMALLEST) ** weight
        return (1.0 - total.mean(1)) * prod(x.shape[1:])

    def _refuse(self, shape: tuple[int, ...]) -> None:
        """Raise ``UserError`` for what is no image, or too small a one for the last scale."""
        if len(shape) != 3:
            raise UserError(
                f"loss=ms_ssim compares images, and this data has examples of shape {shape}: "
                "use loss=mse"
            )
        needed = self.window * 2 ** (len(self.weights) - 1)
        if min(shape[1:]) < needed:
            raise UserError(
                f"loss=ms_ssim: {len(self.weights)} scales with a window of {self.window} take "
                f"images of {needed} pixels or more, and these have {shape[1]}x{shape[2]}: give "
                "fewer loss.reconstruction.weights or a smaller window, or use loss=ssim"
            )
