"""What backbones over images share: sizes, what follows a convolution, the way from a latent."""

from __future__ import annotations

from math import prod
from typing import Literal

from torch import nn

from aetl.backbone.base import ACTIVATIONS, Activation, Shape
from aetl.backbone.tied import TiedConvTranspose2d, TiedLinear
from aetl.types import DoesNotFit

MapNorm = Literal["none", "batch", "group"]


def require_image(shape: Shape, backbone: str) -> None:
    """Raise ``UserError`` for anything but channels, height and width."""
    if len(shape) != 3:
        raise DoesNotFit(
            f"backbone={backbone} takes images, and this data has examples of shape {shape}: "
            "use backbone=mlp"
        )


SMALL_KERNEL = 7
"""Kernels to this size are common, and cost little on whatever they go over."""


def refuse_kernel(kernel_size: int, shape: Shape, small: int = SMALL_KERNEL) -> None:
    """Raise ``DoesNotFit`` for a kernel whose outer weights would only ever see the padding."""
    most = max(small, 2 * max(shape[1:]) - 1)
    if kernel_size > most:
        extent = " x ".join(str(side) for side in shape[1:])
        raise DoesNotFit(
            f"backbone.kernel_size={kernel_size}: too large for examples of {extent}, at "
            f"most {most}"
        )


def halved(size: tuple[int, int], times: int) -> list[tuple[int, int]]:
    """The sizes from the image downwards, each half of the one before, rounded up."""
    sizes = [size]
    for _ in range(times):
        h, w = sizes[-1]
        sizes.append(((h + 1) // 2, (w + 1) // 2))
    return sizes


def groups_of(width: int) -> int:
    """Groups for a normalisation: as many as divide the channels, 8 at most."""
    return max(g for g in range(1, 9) if width % g == 0)


def after_convolution(
    width: int, norm: MapNorm, activation: Activation, dropout: float
) -> list[nn.Module]:
    """Normalisation, activation and dropout of whole channels."""
    norms: dict[MapNorm, list[nn.Module]] = {
        "none": [],
        "batch": [nn.BatchNorm2d(width)],
        "group": [nn.GroupNorm(groups_of(width), width)],
    }
    dropped = [nn.Dropout2d(dropout)] if dropout else []
    return [*norms[norm], ACTIVATIONS[activation](), *dropped]


def from_latent(latent_shape: Shape, smallest: Shape, tied: bool = False) -> list[nn.Module]:
    """Dense from a vector to the smallest feature map, 1x1 from a map of the same size."""
    if len(latent_shape) == 1:
        dense = TiedLinear if tied else nn.Linear
        return [dense(latent_shape[0], prod(smallest)), nn.Unflatten(1, smallest)]
    if tied:
        channels = (latent_shape[0], smallest[0])
        return [TiedConvTranspose2d(*channels, 1, stride=1, padding=0, output_padding=(0, 0))]
    return [nn.Conv2d(latent_shape[0], smallest[0], 1)]
