"""The contractive penalty (Rifai, Vincent, Muller, Glorot and Bengio, ICML 2011)."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from aetl.autoencoder.base import Autoencoder
from aetl.loss.base import LossTerm, Weight
from aetl.loss.jacobian import squared_jacobian_norm
from aetl.ranges import Draws, NonNegative
from aetl.rng import Rng


class Contractive(LossTerm):
    """``|d z / d x|_F^2``, the encoder's Jacobian at the clean input.

    Exact by as many backward passes as there are latents, or with ``probes`` Hutchinson's estimate
    by that many. Holds for any encoder, where the paper's closed form is for one sigmoid layer.
    """

    unit: ClassVar[str] = "squared latent per squared input units"

    def __init__(self, *, weight: NonNegative | Weight, probes: Draws | None) -> None:
        super().__init__(weight=weight)
        self.probes = probes

    def forward(
        self, x: Float[Tensor, "B ..."], autoencoder: Autoencoder, rng: Rng
    ) -> Float[Tensor, " B"]:
        return squared_jacobian_norm(autoencoder.features, x, self.probes, rng.fork("contractive"))
