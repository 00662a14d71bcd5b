"""VAE with a mixture of posteriors as its prior (Tomczak and Welling, 2018, arXiv:1705.07120)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aetl.autoencoder.base import Autoencoder
from aetl.autoencoder.composite import Composite
from aetl.backbone.base import Backbone, Shape
from aetl.bottleneck.normal import Normal
from aetl.corruption.base import Corruption
from aetl.ranges import Size
from aetl.rng import Rng
from aetl.types import Output


@dataclass(frozen=True)
class VampOutput(Output):
    """The output with the parameters of the prior's ``M`` components."""

    prior_mean: Float[Tensor, "M Z"]
    prior_logvar: Float[Tensor, "M Z"]


class Vamp(Autoencoder):
    """A VAE whose prior is ``1/M sum_m q(z | u_m)`` over learned inputs ``u_m`` (equation 9).

    Pseudo-inputs lie in (0, 1), as a sigmoid of what is trained, and go through the same encoder.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        pseudo_inputs: Size,
        corruption: Corruption,
        backbone: Backbone,
        bottleneck: Callable[[Shape], Normal],
        outputs: Size = 1,
    ) -> None:
        super().__init__()
        self.vae = Composite(
            shape, corruption=corruption, backbone=backbone, bottleneck=bottleneck, outputs=outputs
        )
        self.shape, self.latent_shape = shape, self.vae.latent_shape
        self.pseudo_logits = nn.Parameter(torch.randn(pseudo_inputs, *shape))

    def forward(self, x: Float[Tensor, "B ..."], rng: Rng | None = None) -> VampOutput:
        output = self.vae(x, rng)
        prior = self.vae.bottleneck(self.vae.encoder(torch.sigmoid(self.pseudo_logits)), None)
        return VampOutput(
            output.reconstruction, output.corrupted, output.code, prior.mean, prior.logvar
        )

    def features(self, x: Float[Tensor, "B ..."], layer: str = "latent") -> Float[Tensor, "B ..."]:
        return self.vae.features(x, layer)

    def decode(self, z: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        return self.vae.decode(z)

    def prior_sample(self, n: int, rng: Rng) -> Float[Tensor, "N Z"]:
        """Latents of ``n`` draws from the prior: a component each, then its normal distribution."""
        output = self.vae.bottleneck(self.vae.encoder(torch.sigmoid(self.pseudo_logits)), None)
        uniform = rng.fork("component").uniform(output.mean.new_empty(n))
        component = (uniform * len(output.mean)).long()
        mean, logvar = output.mean[component], output.logvar[component]
        drawn: Tensor = mean + torch.exp(0.5 * logvar) * rng.fork("normal").normal(mean)
        return drawn

    def layers(self) -> list[tuple[str, nn.Module]]:
        return self.vae.layers()
