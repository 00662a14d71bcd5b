"""Torchvision's residual networks with a mirrored decoder (He et al., 2016, arXiv:1512.03385)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from aetl.backbone.base import ACTIVATIONS, Activation, Backbone, Shape, Sides
from aetl.backbone.feature_map import from_latent, groups_of, halved, require_image
from aetl.ranges import Probability, Size
from aetl.types import PICTURES, ExampleKind

DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
"""Residual blocks in each of the four stages."""


class ResNet(Backbone):
    """ResNet-18, 34 or 50 without its head, random at the start, and basic blocks back.

    ``small_stem`` replaces the 7x7 stride-2 convolution and the pooling by a 3x3 convolution, as is
    usual for images of 32 pixels (section 4.2). ``width`` is the number of channels of the first
    stage (64 in the paper), doubled at each of the three others. The decoder upsamples to the sizes
    that the encoder had, with as many residual blocks in each stage. Whole channels are dropped
    after each stage.
    """

    kinds: ClassVar[frozenset[ExampleKind]] = PICTURES

    def __init__(
        self,
        *,
        depth: Literal[18, 34, 50],
        small_stem: bool,
        width: Size,
        activation: Activation,
        norm: Literal["batch", "group"],
        dropout: Probability,
        spectral_norm: Sides,
    ) -> None:
        self.depth, self.small_stem, self.width = depth, small_stem, width
        self.activation, self.norm, self.dropout = activation, norm, dropout
        self.spectral_norm = spectral_norm
        self.widths = [width * 2**stage * (4 if depth == 50 else 1) for stage in range(4)]

    def encoder(self, shape: Shape) -> tuple[nn.Sequential, Shape]:
        require_image(shape, "resnet")
        kernel, stride = (3, 1) if self.small_stem else (7, 2)
        first = nn.Conv2d(shape[0], self.width, kernel, stride, kernel // 2, bias=False)
        stem = [first, self._normed(self.width), ACTIVATIONS[self.activation]()]
        if not self.small_stem:
            stem.append(nn.MaxPool2d(3, 2, 1))
        inputs = [self.width, *self.widths]
        stages = [self._stage(i, inputs[i]) for i in range(4)]
        blocks = nn.Sequential(nn.Sequential(*stem), *stages)
        for layer in blocks.modules():
            if isinstance(layer, nn.Conv2d):  # torchvision's own start
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        return self.sided("encoder", blocks), (self.widths[-1], *self._sizes(shape)[-1])

    def _stage(self, number: int, inputs: int) -> nn.Sequential:
        """Torchvision's blocks, the first of which halves the size (but in the first stage)."""
        kind = Bottleneck if self.depth == 50 else BasicBlock
        planes, outputs = self.width * 2**number, self.widths[number]
        blocks: list[nn.Module] = []
        for i in range(DEPTHS[self.depth][number]):
            stride = 2 if number and not i else 1
            beside = None
            if stride != 1 or inputs != outputs:
                shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
                beside = nn.Sequential(shortcut, self._normed(outputs))
            block = kind(inputs, planes, stride, beside, norm_layer=self._normed)
            block.relu = ACTIVATIONS[self.activation]()
            blocks.append(block)
            inputs = outputs
        return nn.Sequential(*blocks, *self._dropped())

    def decoder(self, shape: Shape, latent_shape: Shape) -> nn.Sequential:
        require_image(shape, "resnet")
        sizes = self._sizes(shape)
        start = from_latent(latent_shape, (self.widths[-1], *sizes[-1]))
        blocks = [nn.Sequential(*start, ACTIVATIONS[self.activation]())]
        widths = [*reversed(self.widths), self.width]
        # The stages halve the size three times: the sizes at the stages' own entries, from the end.
        targets = [sizes[-2], sizes[-3], sizes[-4], sizes[-4]]
        for stage, size in enumerate(targets):
            number = DEPTHS[self.depth][3 - stage]
            chain = [self._residual(widths[stage], widths[stage + 1])]
            chain += [
                self._residual(widths[stage + 1], widths[stage + 1]) for _ in range(1, number)
            ]
            up = nn.Upsample(size, mode="nearest")
            blocks.append(nn.Sequential(up, *chain, *self._dropped()))
        end: list[nn.Module] = [nn.Conv2d(self.width, shape[0], 3, padding=1)]
        if not self.small_stem:
            end.insert(0, nn.Upsample((shape[1], shape[2]), mode="nearest"))
        return self.sided("decoder", nn.Sequential(*blocks, nn.Sequential(*end)))

    def _residual(self, inputs: int, outputs: int) -> Residual:
        return Residual(inputs, outputs, self._normed, ACTIVATIONS[self.activation])

    def _normed(self, width: int) -> nn.Module:
        return (
            nn.BatchNorm2d(width) if self.norm == "batch" else nn.GroupNorm(groups_of(width), width)
        )

    def _dropped(self) -> list[nn.Module]:
        return [nn.Dropout2d(self.dropout)] if self.dropout else []

    def _sizes(self, shape: Shape) -> list[tuple[int, int]]:
        return halved((shape[1], shape[2]), 3 if self.small_stem else 5)


class Residual(nn.Module):
    """``act(x + f(x))`` with two convolutions, and a 1x1 one beside them where widths differ."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        normed: Callable[[int], nn.Module],
        activation: Callable[[], nn.Module],
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            normed(outputs),
            activation(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            normed(outputs),
        )
        self.beside = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        self.activation = activation()

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K H W"]:
        total: Tensor = self.activation(self.beside(x) + self.body(x))
        return total
