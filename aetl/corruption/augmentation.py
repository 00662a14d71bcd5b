"""Augmentations as corruption: the clean image is to be told from an altered one.

Falcon, Jha, Koker and Cho (2021, AAVAE, arXiv:2107.12329) train a variational autoencoder so,
without the KL divergence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.corruption.base import Corruption
from aetl.corruption.whole_batches import drawn, whole
from aetl.rng import Rng, key_seed, seed_global
from aetl.types import PICTURES, DoesNotFit, ExampleKind, UserError


class Augmentation(Corruption):
    """``transforms`` of torchvision's (v2), one after the other, on each image by its own draw.

    Transforms draw from torch's global source, which is set for every image by the key and by its
    position in the joint batch, and put back afterwards. They must keep the image's shape.

    RandomAffine, RandomErasing and the flips work on whole batches, with what each image draws.
    torchvision draws once for all that it is given, so where another transform is among them images
    go one by one: a step costs about ten times that of one without augmentation.
    """

    kinds: ClassVar[frozenset[ExampleKind]] = PICTURES

    def __init__(self, *, transforms: Sequence[Any]) -> None:
        self.transforms: tuple[Callable[[Tensor], Tensor], ...] = tuple(transforms)
        kernels = [whole(transform) for transform in self.transforms]
        self.kernels = [] if None in kernels else [k for k in kernels if k is not None]

    def __call__(self, x: Float[Tensor, "B ..."], rng: Rng) -> Float[Tensor, "B ..."]:
        if x.dim() != 4:
            raise DoesNotFit(
                f"corruption=augmentation takes images, and this data has examples of shape "
                f"{tuple(x.shape[1:])}: use corruption=gaussian"
            )
        devices = [x.device] if x.is_cuda else []
        # A grid of places in half precision would be off by pixels.
        precise = torch.autocast(x.device.type, enabled=False)
        with precise, torch.random.fork_rng(devices=devices):
            if self.kernels:
                return self._whole(x, rng)
            images = [self._altered(x[i], rng, rng.rank + i * rng.world) for i in range(len(x))]
        return torch.stack(images) if images else x

    def _whole(self, x: Float[Tensor, "B C H W"], rng: Rng) -> Float[Tensor, "B C H W"]:
        params = []
        for i in range(len(x)):
            seed_global(key_seed(*rng.key, rng.rank + i * rng.world))
            params.append([drawn(transform, x[i]) for transform in self.transforms])
        columns = zip(*params, strict=True)
        for transform, kernel, column in zip(self.transforms, self.kernels, columns, strict=False):
            x = kernel(transform, x, column)
        return x

    def _altered(self, image: Float[Tensor, "C H W"], rng: Rng, position: int) -> Tensor:
        seed_global(key_seed(*rng.key, position), image.device)
        altered = image
        for transform in self.transforms:
            altered = transform(altered)
        if altered.shape != image.shape:
            raise UserError(
                f"corruption.transforms: make images of {tuple(altered.shape)} of "
                f"{tuple(image.shape)}; a corruption keeps the shape"
            )
        return altered
