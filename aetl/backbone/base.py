"""What a backbone is: a description from which an encoder and its mirrored decoder are built."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from aetl.backbone.tied import Tied
from aetl.types import NUMBERS, ExampleKind, UserError

Shape = tuple[int, ...]
Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "softplus"]

ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
}


Side = Literal["encoder", "decoder"]
Sides = Literal["none", "encoder", "decoder", "both"]

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)
"""Layers with a weight that spectral normalisation divides by its largest singular value."""


class Backbone(ABC):
    """An encoder and a decoder for examples of any shape that the backbone takes.

    ``spectral_norm`` says on which side the layers' weights are divided by their largest singular
    value (Miyato et al., 2018, arXiv:1802.05957): each layer then stretches no input. That of a
    convolution is taken of the kernel as a matrix, as in the paper, which is no bound for its map.
    """

    kinds: ClassVar[frozenset[ExampleKind]] = NUMBERS
    """What examples it takes; others are refused before any work."""
    spectral_norm: Sides = "none"

    @abstractmethod
    def encoder(self, shape: Shape) -> tuple[nn.Sequential, Shape]:
        """The encoder's blocks from input to output, and the shape of what they give."""

    @abstractmethod
    def decoder(self, shape: Shape, latent_shape: Shape) -> nn.Sequential:
        """The mirrored blocks from ``latent_shape`` back to ``shape``, linear at the end."""

    def sided(self, side: Side, blocks: nn.Sequential) -> nn.Sequential:
        """The blocks of a side, spectrally normalised where the config says so."""
        if self.spectral_norm in (side, "both"):
            tied = any(isinstance(m, Tied) for m in blocks.modules())
            if tied and self.spectral_norm == "decoder":
                raise UserError(
                    "backbone.spectral_norm=decoder: with tied weights the decoder has the "
                    "encoder's; use backbone.spectral_norm=encoder"
                )
            for layer in [m for m in blocks.modules() if isinstance(m, WEIGHTED)]:
                spectral_norm(layer)
        return blocks
