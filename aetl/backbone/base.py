"""What a backbone is: a description from which an encoder and its mirrored decoder are built."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

from torch import nn

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


class Backbone(ABC):
    """An encoder and a decoder for examples of any shape that the backbone takes."""

    @abstractmethod
    def encoder(self, shape: Shape) -> tuple[nn.Sequential, Shape]:
        """The encoder's blocks from input to output, and the shape of what they give."""

    @abstractmethod
    def decoder(self, shape: Shape, latent_shape: Shape) -> nn.Sequential:
        """The mirrored blocks from ``latent_shape`` back to ``shape``, linear at the end."""
