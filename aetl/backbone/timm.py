"""Any of timm's models that gives feature maps, without its head, and a decoder that fits.

Wightman (2019), PyTorch image models, https://github.com/huggingface/pytorch-image-models.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from aetl.backbone.base import Activation, Backbone, Shape, Sides
from aetl.backbone.feature_map import after_convolution, from_latent, halved, require_image
from aetl.ranges import Pixels, Probability
from aetl.types import PICTURES, DoesNotFit, ExampleKind, UserError

NARROWEST = 16
"""Channels of the decoder's last feature map, at least."""


class Timm(Backbone):
    """The model ``name`` of timm's, random at the start; nothing is downloaded.

    It takes as many channels as the images have. Those with a side below ``min_size`` are enlarged
    (bilinear, both sides alike). ``options`` go to the model (``drop_path_rate``, ``img_size``,
    ...). The encoder is one block ``body`` with the model's own names: a state dict of it is
    a checkpoint.

    The decoder doubles the last feature map up to the image, halving the channels each time (16 at
    least): upsampling, a 3x3 convolution, ``norm``, ``activation`` and ``dropout`` (of whole
    channels).
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
        return self.sided("encoder", blocks), self._ends_in(blocks, shape)

    def decoder(self, shape: Shape, latent_shape: Shape) -> nn.Sequential:
        with torch.random.fork_rng(devices=[]):  # the same start as without this look
            width, height, _ = last = self._ends_in(self._blocks(shape), shape)
        sizes = [size for size in halved((shape[1], shape[2]), 8) if size[0] > height]
        blocks = [nn.Sequential(*from_latent(latent_shape, last), *self._after(width))]
        for size in reversed(sizes):
            narrower = max(NARROWEST, width // 2)
            up = nn.Upsample(size, mode="nearest")
            convolution = nn.Conv2d(width, narrower, 3, padding=1)
            blocks.append(nn.Sequential(up, convolution, *self._after(narrower)))
            width = narrower
        fitting = [] if sizes else [nn.Upsample((shape[1], shape[2]), mode="bilinear")]
        blocks.append(nn.Sequential(*fitting, nn.Conv2d(width, shape[0], 3, padding=1)))
        return self.sided("decoder", nn.Sequential(*blocks))

    def _after(self, width: int) -> list[nn.Module]:
        return after_convolution(width, self.norm, self.activation, self.dropout)

    def _blocks(self, shape: Shape) -> nn.Sequential:
        """The model without pooling and head, for images of ``shape``."""
        require_image(shape, "timm")
        try:
            import timm
        except ImportError:
            raise UserError("backbone=timm: pip install 'aetl[timm]'") from None
        given = {"num_classes": 0, "global_pool": "", "in_chans": shape[0], **self.options}
        try:
            model = timm.create_model(self.name, pretrained=False, **given)
        except Exception as error:  # of a name that it does not know, or an option
            near = ", ".join(timm.list_models(f"{self.name[:5]}*")[:5])
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(
                f"backbone.name={self.name}: {reason} ({near or 'resnet10t, convnext_atto, ...'})"
            ) from None
        smallest = min(shape[1:])
        blocks: dict[str, nn.Module] = {"body": model}
        if smallest < self.min_size:
            size = [-(-side * self.min_size // smallest) for side in shape[1:]]
            blocks = {"enlarge": nn.Upsample(tuple(size), mode="bilinear"), **blocks}
        return nn.Sequential(OrderedDict(blocks))

    @torch.no_grad()
    def _ends_in(self, blocks: nn.Sequential, shape: Shape) -> Shape:
        """The shape of the last feature map; ``UserError`` for a model that gives none."""
        blocks.eval()
        try:
            h = blocks(torch.zeros(1, *shape))
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DoesNotFit(
                f"backbone.name={self.name}: does not take images of {shape} ({reason})"
            ) from None
        blocks.train()
        if not isinstance(h, Tensor) or h.dim() != 4 or h.shape[1] < h.shape[3]:
            raise UserError(
                f"backbone.name={self.name}: gives no feature map [C, H, W] (tokens have none); "
                "take a convolutional one"
            )
        return tuple(h.shape[1:])
