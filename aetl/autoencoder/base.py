"""What every autoencoder answers, which is what makes transfer possible."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from aetl.backbone.base import Shape
from aetl.rng import Rng
from aetl.types import Output


class Autoencoder(nn.Module, ABC):
    """Maps examples of ``shape`` to features and back.

    Keeps no state between calls. ``rng`` brings the corruption and the posterior samples; without
    it every answer is deterministic and depends on no other example of the batch (in eval mode).
    """

    shape: Shape
    latent_shape: Shape

    @abstractmethod
    def forward(self, x: Float[Tensor, "B ..."], rng: Rng | None = None) -> Output:
        """Corrupt, encode and decode. The return annotation tells what loss terms may ask for."""

    def reconstruct(self, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        """The decoder's raw output for clean inputs, in the units of the input, as it is reported.

        Where training predicts something else (hidden parts, normalised values) a variant says
        here what it makes of the input.
        """
        output: Output = self(x)
        return output.reconstruction

    @abstractmethod
    def features(self, x: Float[Tensor, "B ..."], layer: str = "latent") -> Float[Tensor, "B ..."]:
        """Deterministic features of clean inputs, of the latent or of a named layer."""

    @abstractmethod
    def decode(self, z: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        """The decoder's raw output for latents."""

    @abstractmethod
    def layers(self) -> list[tuple[str, nn.Module]]:
        """Named modules from input to output, for layer-wise rates and gradual unfreezing."""
