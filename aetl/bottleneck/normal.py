"""A diagonal Gaussian posterior (Kingma and Welling, 2014, arXiv:1312.6114, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aetl.backbone.base import Shape
from aetl.bottleneck.base import Bottleneck
from aetl.ranges import Size
from aetl.rng import Rng
from aetl.types import Code


@dataclass(frozen=True)
class NormalCode(Code):
    """A sample of ``N(mean, exp(logvar))`` with its parameters."""

    mean: Float[Tensor, "B Z"]
    logvar: Float[Tensor, "B Z"]


class Normal(Bottleneck):
    """``z = mean + exp(logvar / 2) * e`` (equation 10), the mean without a source of noise.

    ``logvar`` is held in [-10, 10], where float32 and half precision are safe: the paper has no
    such bound.
    """

    def __init__(self, in_shape: Shape, *, latent_dim: Size) -> None:
        super().__init__()
        self.latent_shape = (latent_dim,)
        self.mean = nn.Sequential(nn.Flatten(), nn.Linear(prod(in_shape), latent_dim))
        self.logvar = nn.Sequential(nn.Flatten(), nn.Linear(prod(in_shape), latent_dim))

    def forward(self, h: Float[Tensor, "B ..."], rng: Rng | None) -> NormalCode:
        mean, logvar = self.mean(h), self.logvar(h).clamp(-10.0, 10.0)
        latent = mean if rng is None else mean + torch.exp(0.5 * logvar) * rng.normal(mean)
        return NormalCode(latent, mean, logvar)
