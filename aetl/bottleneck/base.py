"""What a bottleneck is: from the encoder's output to the latent, and to what the loss needs."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from aetl.backbone.base import Shape
from aetl.rng import Rng
from aetl.types import Code


class Bottleneck(nn.Module, ABC):
    """Built with the shape of the encoder's output; says the shape of its latent.

    The return annotation of ``forward`` names the ``Code`` that the variant gives. Its fields are
    what loss terms may ask for, so a misfit is found before anything is built.
    """

    latent_shape: Shape

    @abstractmethod
    def forward(self, h: Float[Tensor, "B ..."], rng: Rng | None) -> Code:
        """The code of ``h``; without ``rng`` the deterministic one (the mean, the mode)."""
