"""Ladder VAE with two stochastic layers (Sonderby et al., 2016, arXiv:1602.02282)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aetl.autoencoder.base import Layered
from aetl.backbone.base import Backbone, Shape
from aetl.bottleneck.normal import Normal, NormalCode
from aetl.corruption.base import Corruption
from aetl.ranges import Size
from aetl.rng import Rng
from aetl.types import Output


@dataclass(frozen=True)
class LadderOutput(Output):
    """The output, whose code is ``q(z1|z2, x)``, with ``q(z2|x)`` and the prior ``p(z1|z2)``."""

    top: Float[Tensor, "B T"]
    top_mean: Float[Tensor, "B T"]
    top_logvar: Float[Tensor, "B T"]
    down_mean: Float[Tensor, "B Z"]
    down_logvar: Float[Tensor, "B Z"]


class Ladder(Layered):
    """``p(x|z1) p(z1|z2) p(z2)`` with ``p(z2) = N(0, I)``; the latent is the lower layer ``z1``.

    Upwards the encoder gives an estimate of ``z1`` and, by a layer of ``hidden`` units, the
    posterior of ``z2`` (``top_dim``). Downwards another layer gives ``p(z1|z2)``, and the posterior
    of ``z1`` combines this and the estimate, each weighted by its precision (equations 17 to 19).
    Without a source of noise every sample is the mean. The layer ``top`` of ``features`` is the
    mean of ``z2``. The paper normalises every layer over the batch; here the encoder's output is
    normalised for each example, the rest is the backbone's own choice.
    """

    further = ("top",)

    def __init__(
        self,
        shape: Shape,
        *,
        top_dim: Size,
        hidden: Size,
        corruption: Corruption,
        backbone: Backbone,
        bottleneck: Callable[[Shape], Normal],
        outputs: Size = 1,
    ) -> None:
        super().__init__()
        self.shape, self.top_dim = shape, top_dim
        self.corruption = corruption
        self.encoder, hidden_shape = backbone.encoder(shape)
        self.encoder.append(nn.LayerNorm(hidden_shape))  # without it both layers collapse
        self.bottleneck = bottleneck(hidden_shape)
        self.latent_shape = self.bottleneck.latent_shape
        self.up = nn.Sequential(
            nn.Flatten(), nn.Linear(prod(hidden_shape), hidden), nn.LeakyReLU(0.1)
        )
        self.top = Normal((hidden,), latent_dim=top_dim)
        self.down = nn.Sequential(nn.Linear(top_dim, hidden), nn.LeakyReLU(0.1))
        self.prior = Normal((hidden,), latent_dim=prod(self.latent_shape))
        self.decoder = backbone.decoder((outputs * shape[0], *shape[1:]), self.latent_shape)

    def forward(self, x: Float[Tensor, "B ..."], rng: Rng | None = None) -> LadderOutput:
        corrupted = x if rng is None else self.corruption(x, rng.fork("corruption"))
        h = self.encoder(corrupted)
        top = self.top(self.up(h), rng and rng.fork("top"))
        prior = self.prior(self.down(top.latent), None)
        code = combined(self.bottleneck(h, None), prior, rng and rng.fork("posterior"))
        return LadderOutput(
            self.decode(code.latent),
            corrupted,
            code,
            top.latent,
            top.mean,
            top.logvar,
            prior.mean,
            prior.logvar,
        )

    def encoded(self, h: Float[Tensor, "B ..."], layer: str) -> Float[Tensor, "B ..."]:
        top: Tensor = self.top(self.up(h), None).latent
        if layer == "top":
            return top
        return combined(self.bottleneck(h, None), self.prior(self.down(top), None), None).latent

    def prior_sample(self, n: int, rng: Rng) -> Float[Tensor, "N Z"]:
        """``n`` latents of the prior: of ``z2``, then of ``z1`` given it."""
        like = next(self.parameters())
        top = rng.fork("top").normal(like.new_empty(n, self.top_dim))
        latent: Tensor = self.prior(self.down(top), rng.fork("latent")).latent
        return latent

    def between(self) -> list[tuple[str, nn.Module]]:
        own = [(name, self.get_submodule(name)) for name in ("up", "top", "down", "prior")]
        return [*own, *super().between()]


def combined(one: NormalCode, other: NormalCode, rng: Rng | None) -> NormalCode:
    """The normalised product of two Gaussians: precisions add, means are weighted by them."""
    logvar = -torch.logaddexp(-one.logvar, -other.logvar)
    share = torch.sigmoid(other.logvar - one.logvar)
    mean = share * one.mean + (1.0 - share) * other.mean
    latent = mean if rng is None else mean + torch.exp(0.5 * logvar) * rng.normal(mean)
    return NormalCode(latent, mean, logvar)
