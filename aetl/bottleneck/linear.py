"""A narrow dense layer, the classical bottleneck (Hinton and Salakhutdinov, Science 313, 2006)."""

from __future__ import annotations

from math import prod
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from aetl.backbone.base import ACTIVATIONS, Activation, Shape
from aetl.bottleneck.base import Bottleneck
from aetl.ranges import Size
from aetl.rng import Rng
from aetl.types import Code


class Linear(Bottleneck):
    """``z = W h + b``, with an activation where sparse or bounded codes are wanted."""

    def __init__(
        self, in_shape: Shape, *, latent_dim: Size, activation: Activation | Literal["none"]
    ) -> None:
        super().__init__()
        self.latent_shape = (latent_dim,)
        self.project = nn.Sequential(nn.Flatten(), nn.Linear(prod(in_shape), latent_dim))
        self.activation = nn.Identity() if activation == "none" else ACTIVATIONS[activation]()

    def forward(self, h: Float[Tensor, "B ..."], rng: Rng | None) -> Code:
        return Code(self.activation(self.project(h)))
