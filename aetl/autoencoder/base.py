"""What every autoencoder answers, which is what makes transfer possible."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from aetl.backbone.base import Shape
from aetl.rng import Rng
from aetl.types import NUMBERS, ExampleKind, Output, UserError


class Autoencoder(nn.Module, ABC):
    """Maps examples of ``shape`` to features and back.

    Keeps no state between calls. ``rng`` brings the corruption and the posterior samples; without
    it every answer is deterministic and depends on no other example of the batch (in eval mode).
    """

    kinds: ClassVar[frozenset[ExampleKind]] = NUMBERS
    """What examples it takes; others are refused before any work."""
    shape: Shape
    latent_shape: Shape
    trains_in_turns: ClassVar[bool] = False
    """Whether there are steps at which some parameters take no part (DDP has to look for them)."""

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


class Layered(Autoencoder):
    """An encoder and a decoder of named blocks, and what lies between them.

    The layers of ``features`` are the encoder's blocks (``encoder.0``), what a variant names in
    ``further``, and ``latent``.
    """

    encoder: nn.Sequential
    decoder: nn.Sequential
    further: ClassVar[tuple[str, ...]] = ()

    def features(self, x: Float[Tensor, "B ..."], layer: str = "latent") -> Float[Tensor, "B ..."]:
        for name, block in self.encoder.named_children():
            x = block(x)
            if layer == f"encoder.{name}":
                return x
        if layer not in (*self.further, "latent"):
            known = [f"encoder.{name}" for name, _ in self.encoder.named_children()]
            known += [*self.further, "latent"]
            raise UserError(f"representation.layer={layer}: no such layer ({', '.join(known)})")
        return self.encoded(x, layer)

    @abstractmethod
    def encoded(self, h: Float[Tensor, "B ..."], layer: str) -> Float[Tensor, "B ..."]:
        """The latent, or a layer of ``further``, from the encoder's output."""

    def decode(self, z: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        decoded: Tensor = self.decoder(z)
        return decoded

    def layers(self) -> list[tuple[str, nn.Module]]:
        encoder = [(f"encoder.{name}", block) for name, block in self.encoder.named_children()]
        decoder = [(f"decoder.{name}", block) for name, block in self.decoder.named_children()]
        parts = [*encoder, *self.between(), *decoder]
        return [(name, part) for name, part in parts if any(True for _ in part.parameters())]

    def between(self) -> list[tuple[str, nn.Module]]:
        """The named modules between encoder and decoder."""
        return [("bottleneck", self.get_submodule("bottleneck"))]
