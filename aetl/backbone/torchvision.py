"""Any of torchvision's classifiers without its head, and a decoder derived from its sizes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torchvision.models import get_model, list_models

from aetl.backbone.base import Activation, Backbone, Shape, Sides
from aetl.backbone.feature_map import after_convolution, from_latent, require_image
from aetl.ranges import Pixels, Probability
from aetl.types import PICTURES, DoesNotFit, ExampleKind, UserError

HEADS = {"avgpool", "classifier", "fc", "head", "heads", "dropout", "flatten"}
"""What torchvision calls the layers behind the last feature map."""


class Torchvision(Backbone):
    """The model ``name`` of torchvision's, random at the start; nothing is downloaded.

    Its first convolution is made anew for other than three channels. Images with a side below
    ``min_size`` are enlarged (bilinear, both sides alike), since most models halve them five times.
    ``options`` go to the model (``width_mult``, ``dropout``, ...). Takes models that are a chain of
    layers up to the last feature map, which most are. They keep the model's names, so that a state
    dict of it is a checkpoint (``checkpoint=resnet18.pth``).

    The decoder goes through the sizes that the encoder's blocks had, backwards: upsampling,
    a 3x3 convolution to the channels of the last block of each size, ``norm``, ``activation`` and
    ``dropout`` (of whole channels).
    """

    kinds: ClassVar[frozenset[ExampleKind]] = PICTURES

    def __init__(
        self,
        *,
        name: str,
        options: Mapping[str, Any],
        min_size: Pixels,
        activation: Activation,
        norm: Literal["none", "batch", "group"],
        dropout: Probability,
        spectral_norm: Sides,
    ) -> None:
        self.name, self.options, self.min_size = name, dict(options), min_size
        self.activation, self.norm, self.dropout = activation, norm, dropout
        self.spectral_norm = spectral_norm

    def encoder(self, shape: Shape) -> tuple[nn.Sequential, Shape]:
        blocks = self._blocks(shape)
        hidden = self._passed(blocks, shape)[-1]
        return self.sided("encoder", blocks), hidden

    def decoder(self, shape: Shape, latent_shape: Shape) -> nn.Sequential:
        with torch.random.fork_rng(devices=[]):  # the same start as without this look
            passed = self._passed(self._blocks(shape), shape)
        steps = _last_of_each_size(passed)
        start = from_latent(latent_shape, steps[-1])
        blocks = [nn.Sequential(*start, *self._after(steps[-1][0]))]
        for below, above in zip(steps[:0:-1], steps[-2::-1], strict=True):
            up = nn.Upsample(above[1:], mode="nearest")
            convolution = nn.Conv2d(below[0], above[0], 3, padding=1)
            blocks.append(nn.Sequential(up, convolution, *self._after(above[0])))
        resized: list[nn.Module] = []
        if steps[0][1:] != shape[1:]:
            resized.append(nn.Upsample(shape[1:], mode="bilinear"))
        blocks.append(nn.Sequential(*resized, nn.Conv2d(steps[0][0], shape[0], 3, padding=1)))
        return self.sided("decoder", nn.Sequential(*blocks))

    def _after(self, width: int) -> list[nn.Module]:
        return after_convolution(width, self.norm, self.activation, self.dropout)

    def _blocks(self, shape: Shape) -> nn.Sequential:
        """The model's layers up to the last feature map, for images of ``shape``."""
        require_image(shape, "torchvision")
        try:
            model = get_model(self.name, weights=None, **self.options)
        except (ValueError, TypeError) as error:
            near = ", ".join(n for n in list_models() if n[:4] == self.name[:4])
            raise UserError(
                f"backbone.name={self.name}: {str(error).splitlines()[0]} "
                f"({near or 'mobilenet_v3_small, efficientnet_b0, convnext_tiny, ...'})"
            ) from None
        chain = {name: layer for name, layer in model.named_children() if name not in HEADS}
        if len(chain) == 1 and isinstance(only := next(iter(chain.values())), nn.Sequential):
            chain = dict(only.named_children())
        blocks = nn.Sequential(OrderedDict(chain))
        if shape[0] != 3:
            _replace_first_convolution(blocks, shape[0])
        smallest = min(shape[1:])
        if smallest < self.min_size:
            size = [-(-side * self.min_size // smallest) for side in shape[1:]]
            # By a name, so that the others keep those that a state dict of the model has.
            enlarged = {"enlarge": nn.Upsample(tuple(size), mode="bilinear")}
            blocks = nn.Sequential(OrderedDict(enlarged | dict(blocks.named_children())))
        return blocks

    @torch.no_grad()
    def _passed(self, blocks: nn.Sequential, shape: Shape) -> list[Shape]:
        """The shape behind each block; ``UserError`` for a model that is no chain of them."""
        h: Any = torch.zeros(1, *shape)
        shapes = []
        blocks.eval()
        try:
            for block in blocks:
                h = block(h)
                shapes.append(tuple(h.shape[1:]))
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DoesNotFit(
                f"backbone.name={self.name}: is no chain of layers for images of {shape} ({reason})"
            ) from None
        if not isinstance(h, Tensor) or h.dim() != 4:
            raise UserError(f"backbone.name={self.name}: does not end in a feature map")
        blocks.train()
        return shapes


def _last_of_each_size(shapes: list[Shape]) -> list[Shape]:
    """From the largest to the smallest, the last shape of each run of equal height and width."""
    following = [*shapes[1:], (0, 0, 0)]
    return [a for a, b in zip(shapes, following, strict=True) if a[1:] != b[1:]]


def _replace_first_convolution(blocks: nn.Sequential, channels: int) -> None:
    """A convolution from ``channels`` channels instead of three, alike otherwise."""
    name, old = next((n, m) for n, m in blocks.named_modules() if isinstance(m, nn.Conv2d))
    geometry: dict[str, Any] = {
        key: getattr(old, key) for key in ("kernel_size", "stride", "padding")
    }
    new = nn.Conv2d(channels, old.out_channels, bias=old.bias is not None, **geometry)
    parent, _, last = name.rpartition(".")
    setattr(blocks.get_submodule(parent), last, new)
