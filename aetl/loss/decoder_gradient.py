"""Gradient penalty on the decoder (Ghosh et al., 2020, arXiv:1903.12436)."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from aetl.autoencoder.base import Autoencoder
from aetl.loss.base import LossTerm, Weight
from aetl.loss.jacobian import squared_jacobian_norm
from aetl.ranges import Draws, NonNegative
from aetl.rng import Rng


class DecoderGradient(LossTerm):
    """``|d decode(z) / d z|_F^2`` at the example's latent, exact or by ``probes`` (Hutchinson).

    The gradient reaches the encoder too, through the point at which the Jacobian is taken.
    """

    unit: ClassVar[str] = "squared output per squared latent units"

    def __init__(self, *, weight: NonNegative | Weight, probes: Draws | None) -> None:
        super().__init__(weight=weight)
        self.probes = probes

    def forward(
        self, latent: Float[Tensor, "B ..."], autoencoder: Autoencoder, rng: Rng
    ) -> Float[Tensor, " B"]:
        rng = rng.fork("decoder_gradient")
        return squared_jacobian_norm(autoencoder.decode, latent, self.probes, rng)
