"""What a term is that a discriminator of its own plays against."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aetl.backbone.base import Shape
from aetl.loss.base import LossTerm, Weight
from aetl.ranges import NonNegative


class Adversarial(LossTerm):
    """A term with a discriminator that pretraining trains in turn with the autoencoder.

    ``forward`` is the autoencoder's loss, in which the discriminator is a constant;
    ``adversary_loss`` is the discriminator's, in which the autoencoder is one. After each step of
    the autoencoder the discriminator takes one, by an optimiser of the same kind at ``lr_scale``
    times its rate. ``weight`` is that of ``forward`` alone.
    """

    discriminator: nn.Module

    def __init__(self, *, weight: NonNegative | Weight, lr_scale: NonNegative) -> None:
        super().__init__(weight=weight)
        self.lr_scale = lr_scale

    @abstractmethod
    def build(self, shape: Shape, latent_shape: Shape) -> nn.Module:
        """The discriminator for examples and latents of these shapes."""

    @abstractmethod
    def adversary_loss(self, *args: Any, **kwargs: Any) -> Float[Tensor, " B"]:
        """The discriminator's loss of each example, from fields by name as in ``forward``."""


def dense_discriminator(in_dim: int, hidden: Sequence[int]) -> nn.Sequential:
    """One logit from a vector, by layers of the widths ``hidden`` with leaky rectifiers."""
    blocks = [
        layer
        for a, b in pairwise((in_dim, *hidden))
        for layer in (nn.Linear(a, b), nn.LeakyReLU(0.2))
    ]
    return nn.Sequential(nn.Flatten(), *blocks, nn.Linear((in_dim, *hidden)[-1], 1), nn.Flatten(0))


def taken_for(real: bool, logits: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Cross-entropy, in nats, of logits that should say real (1) or not (0)."""
    return nn.functional.binary_cross_entropy_with_logits(
        logits, torch.full_like(logits, float(real)), reduction="none"
    )
