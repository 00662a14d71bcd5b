"""Structural dissimilarity (Wang et al., IEEE Transactions on Image Processing 13, 2004)."""

from __future__ import annotations

from math import prod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d

from aetl.loss.base import LossTerm, Support, Weight
from aetl.ranges import KernelSize, NonNegative, Positive
from aetl.types import PICTURES, ExampleKind, UserError

K1, K2 = 0.01, 0.03
"""The constants of equation 13, for values in [0, 1]."""


class SSIM(LossTerm):
    """``(1 - SSIM) * C H W``, where SSIM is the mean over the image of equation 13.

    Means, variances and covariance are local, under a Gaussian of ``window`` pixels (11 in the
    paper, at ``sigma`` 1.5) within the image. A window larger than the image is cut to the largest
    odd size that fits. Values are taken as they are, so on the scale of [0, 1].
    """

    support: ClassVar[Support] = "unit"

    kinds: ClassVar[frozenset[ExampleKind]] = PICTURES

    unit: ClassVar[str] = "structural dissimilarity, summed over elements"

    def __init__(
        self, *, weight: NonNegative | Weight, window: KernelSize, sigma: Positive
    ) -> None:
        super().__init__(weight=weight)
        if window % 2 == 0:
            raise UserError(f"loss.reconstruction.window={window}: must be odd (7, 9, 11, ...)")
        self.window, self.sigma = window, sigma

    def forward(
        self, reconstruction: Float[Tensor, "B ..."], x: Float[Tensor, "B ..."]
    ) -> Float[Tensor, " B"]:
        if x.dim() != 4:
            raise UserError(
                f"loss=ssim compares images, and this data has examples of shape "
                f"{tuple(x.shape[1:])}: use loss=mse"
            )
        luminance, structure = similarity(reconstruction, x, self.window, self.sigma)
        mean = (luminance * structure).flatten(1).mean(1)
        return (1.0 - mean) * prod(x.shape[1:])


def similarity(
    a: Float[Tensor, "B C H W"], b: Float[Tensor, "B C H W"], window: int, sigma: float
) -> tuple[Float[Tensor, "B C h w"], Float[Tensor, "B C h w"]]:
    """The two factors of equation 13 at every place: luminance, and contrast with structure."""
    mu_a, mu_b = (local_mean(image, window, sigma) for image in (a, b))
    var_a = local_mean(a.square(), window, sigma) - mu_a.square()
    var_b = local_mean(b.square(), window, sigma) - mu_b.square()
    covariance = local_mean(a * b, window, sigma) - mu_a * mu_b
    c1, c2 = K1**2, K2**2
    luminance = (2.0 * mu_a * mu_b + c1) / (mu_a.square() + mu_b.square() + c1)
    return luminance, (2.0 * covariance + c2) / (var_a + var_b + c2)


def local_mean(
    image: Float[Tensor, "B C H W"], window: int, sigma: float
) -> Float[Tensor, "B C h w"]:
    """Every channel's mean under the Gaussian window, where that lies within the image."""
    _, channels, height, width = image.shape
    down, across = (_weights(side, window, sigma, image) for side in (height, width))
    kernel = torch.outer(down, across).expand(channels, 1, -1, -1)
    return conv2d(image, kernel, groups=channels)


def _weights(side: int, window: int, sigma: float, like: Tensor) -> Float[Tensor, " w"]:
    size = min(window, side - 1 + side % 2)
    at = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    weights = torch.exp(-0.5 * (at / sigma).square())
    return weights / weights.sum()
