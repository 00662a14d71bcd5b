"""Errors between a discriminator's features (Larsen et al., 2016, VAE-GAN, arXiv:1512.09300)."""

from __future__ import annotations

from math import prod
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aetl.autoencoder.base import Autoencoder
from aetl.backbone.base import Backbone, Shape
from aetl.loss.adversarial import Adversarial, taken_for
from aetl.loss.base import Weight
from aetl.ranges import NonNegative
from aetl.rng import Rng


class LearnedSimilarity(Adversarial):
    """``1/2 |D_l(x) - D_l(x')|^2 + gan_weight * 1/2 (-log D(x'') - log D(x_p))``.

    ``D_l`` are the discriminator's last features (equation 7, less a constant), ``x'`` the
    reconstruction, ``x''`` the same as a function of the decoder alone, and ``x_p`` what the
    decoder makes of a sample of ``N(0, I)``: the encoder is not to fool the discriminator
    (section 2.3). The discriminator takes the data for real and both others not. It is an encoder
    of ``backbone`` under one logit. ``link`` maps the decoder's raw output to the data's scale.

    Departures: each example's features are brought to mean 0 and variance 1, without which the unit
    variance of equation 7 means another thing on every backbone; the decoder's loss is the one that
    does not saturate; and ``gan_weight`` is ``1 / gamma`` of algorithm 1, which is gamma times less
    of all for the decoder.
    """

    unit: ClassVar[str] = "nats"
    discriminator: nn.Sequential

    def __init__(
        self,
        *,
        weight: NonNegative | Weight,
        lr_scale: NonNegative,
        gan_weight: NonNegative,
        link: Literal["sigmoid", "identity"],
        backbone: Backbone,
    ) -> None:
        super().__init__(weight=weight, lr_scale=lr_scale)
        self.gan_weight, self.link, self.backbone = gan_weight, link, backbone

    def build(self, shape: Shape, latent_shape: Shape) -> nn.Module:
        encoder, feature_shape = self.backbone.encoder(shape)
        features = nn.Sequential(encoder, nn.LayerNorm(feature_shape, elementwise_affine=False))
        logit = nn.Sequential(nn.Flatten(), nn.Linear(prod(feature_shape), 1), nn.Flatten(0))
        return nn.Sequential(features, logit)

    def forward(
        self,
        x: Float[Tensor, "B ..."],
        reconstruction: Float[Tensor, "B ..."],
        latent: Float[Tensor, "B ..."],
        autoencoder: Autoencoder,
        rng: Rng,
    ) -> Float[Tensor, " B"]:
        features = self.discriminator[0]
        difference = features(self.mean(reconstruction)) - features(x)
        error: Tensor = 0.5 * difference.flatten(1).square().sum(1)
        fakes = self._fakes(latent.detach(), autoencoder, rng)
        fooled = torch.stack([taken_for(True, self.discriminator(fake)) for fake in fakes])
        return error + self.gan_weight * fooled.mean(0)

    def adversary_loss(
        self,
        x: Float[Tensor, "B ..."],
        latent: Float[Tensor, "B ..."],
        autoencoder: Autoencoder,
        rng: Rng,
    ) -> Float[Tensor, " B"]:
        fakes = self._fakes(latent, autoencoder, rng)
        found = torch.stack([taken_for(False, self.discriminator(fake)) for fake in fakes])
        return 0.5 * (taken_for(True, self.discriminator(x)) + found.mean(0))

    def _fakes(self, latent: Tensor, autoencoder: Autoencoder, rng: Rng) -> list[Tensor]:
        sample = rng.fork("prior").normal(latent)
        return [self.mean(autoencoder.decode(z)) for z in (latent, sample)]

    def mean(self, reconstruction: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        return torch.sigmoid(reconstruction) if self.link == "sigmoid" else reconstruction
