"""Codes that no discriminator tells from the prior (Makhzani et al., 2015, arXiv:1511.05644)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from aetl.backbone.base import Shape
from aetl.loss.adversarial import Adversarial, dense_discriminator, taken_for
from aetl.loss.base import Prior, Weight
from aetl.ranges import NonNegative, Size
from aetl.rng import Rng


class AdversarialPrior(Adversarial):
    """``-log D(z)``, with a discriminator that takes samples of ``N(0, I)`` for real, codes not.

    The encoder's loss is the one that does not saturate (Goodfellow et al., 2014, section 3).
    """

    unit: ClassVar[str] = "nats"
    prior: ClassVar[Prior | None] = "normal"

    def __init__(
        self, *, weight: NonNegative | Weight, lr_scale: NonNegative, hidden: Sequence[Size]
    ) -> None:
        super().__init__(weight=weight, lr_scale=lr_scale)
        self.hidden = tuple(hidden)

    def build(self, shape: Shape, latent_shape: Shape) -> nn.Module:
        return dense_discriminator(prod(latent_shape), self.hidden)

    def forward(self, latent: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
        return taken_for(True, self.discriminator(latent))

    def adversary_loss(self, latent: Float[Tensor, "B ..."], rng: Rng) -> Float[Tensor, " B"]:
        prior = rng.fork("prior").normal(latent)
        codes = taken_for(False, self.discriminator(latent))
        return 0.5 * (taken_for(True, self.discriminator(prior)) + codes)
