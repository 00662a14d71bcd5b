"""Torchvision's residual networks with a mirrored decoder (He et al., 2016, arXiv:1512.03385)."""

from __future__ import annotations

from typing import Literal

import torchvision
from jaxtyping import Float
from torch import Tensor, nn

from aetl.backbone.base import Backbone, Shape
from aetl.backbone.feature_map import from_latent, halved, require_image

DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
"""Residual blocks in each of the four stages."""


class ResNet(Backbone):
    """ResNet-18, 34 or 50 without its head, random at the start, and basic blocks back.

    ``small_stem`` replaces the 7x7 stride-2 convolution and the pooling by a 3x3 convolution, as is
    usual for images of 32 pixels (section 4.2). The decoder upsamples to the sizes that the
    encoder had, with as many residual blocks in each stage.
    """

    def __init__(self, *, depth: Literal[18, 34, 50], small_stem: bool) -> None:
        self.depth, self.small_stem = depth, small_stem
        self.width = 4 if depth == 50 else 1

    def encoder(self, shape: Shape) -> tuple[nn.Sequential, Shape]:
        require_image(shape, "resnet")
        net = getattr(torchvision.models, f"resnet{self.depth}")(weights=None)
        if self.small_stem:
            first = nn.Conv2d(shape[0], 64, 3, padding=1, bias=False)
            stem: list[nn.Module] = [first, net.bn1, net.relu]
        else:
            first = nn.Conv2d(shape[0], 64, 7, stride=2, padding=3, bias=False)
            stem = [first, net.bn1, net.relu, net.maxpool]
        stages = [net.layer1, net.layer2, net.layer3, net.layer4]
        return nn.Sequential(nn.Sequential(*stem), *stages), (
            512 * self.width,
            *self._sizes(shape)[-1],
        )

    def decoder(self, shape: Shape, latent_shape: Shape) -> nn.Sequential:
        require_image(shape, "resnet")
        sizes = self._sizes(shape)
        smallest = (512 * self.width, *sizes[-1])
        widths = [512 * self.width, 256 * self.width, 128 * self.width, 64 * self.width, 64]
        blocks = [nn.Sequential(*from_latent(latent_shape, smallest), nn.ReLU())]
        # The stages halve the size three times: the sizes at the stages' own entries, from the end.
        targets = [sizes[-2], sizes[-3], sizes[-4], sizes[-4]]
        for stage, size in enumerate(targets):
            number = DEPTHS[self.depth][3 - stage]
            chain = [Residual(widths[stage], widths[stage + 1])]
            chain += [Residual(widths[stage + 1], widths[stage + 1]) for _ in range(number - 1)]
            blocks.append(nn.Sequential(nn.Upsample(size, mode="nearest"), *chain))
        end: list[nn.Module] = [nn.Conv2d(64, shape[0], 3, padding=1)]
        if not self.small_stem:
            end.insert(0, nn.Upsample((shape[1], shape[2]), mode="nearest"))
        return nn.Sequential(*blocks, nn.Sequential(*end))

    def _sizes(self, shape: Shape) -> list[tuple[int, int]]:
        return halved((shape[1], shape[2]), 3 if self.small_stem else 5)


class Residual(nn.Module):
    """``relu(x + f(x))`` with two convolutions, and a 1x1 one beside them where widths differ."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.beside = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K H W"]:
        total: Tensor = self.beside(x) + self.body(x)
        return total.relu()
