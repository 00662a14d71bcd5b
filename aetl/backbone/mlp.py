"""A multi-layer perceptron over the flattened input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod
from typing import Literal

from torch import nn

from aetl.backbone.base import ACTIVATIONS, Activation, Backbone, Shape, Sides
from aetl.backbone.tied import TiedLinear
from aetl.ranges import Probability, Size


class MLP(Backbone):
    """Dense layers of the widths ``hidden``; the decoder has them in reverse order.

    With ``tied`` the decoder's weights are the encoder's and the bottleneck's, transposed.
    """

    def __init__(
        self,
        *,
        hidden: Sequence[Size],
        activation: Activation,
        norm: Literal["none", "batch", "layer"],
        dropout: Probability,
        tied: bool,
        spectral_norm: Sides,
    ) -> None:
        self.hidden = tuple(hidden)
        self.activation = activation
        self.norm = norm
        self.dropout = dropout
        self.tied, self.spectral_norm = tied, spectral_norm

    def encoder(self, shape: Shape) -> tuple[nn.Sequential, Shape]:
        widths = (prod(shape), *self.hidden)
        blocks = [self._block(a, b) for a, b in pairwise(widths)]
        return self.sided("encoder", nn.Sequential(nn.Flatten(), *blocks)), (widths[-1],)

    def decoder(self, shape: Shape, latent_shape: Shape) -> nn.Sequential:
        widths = (prod(latent_shape), *reversed(self.hidden))
        dense = TiedLinear if self.tied else nn.Linear
        blocks = [self._block(a, b, dense) for a, b in pairwise(widths)]
        output = nn.Sequential(dense(widths[-1], prod(shape)), nn.Unflatten(1, shape))
        return self.sided("decoder", nn.Sequential(nn.Flatten(), *blocks, output))

    def _block(
        self, in_dim: int, out_dim: int, dense: Callable[[int, int], nn.Module] = nn.Linear
    ) -> nn.Sequential:
        norms: dict[str, list[nn.Module]] = {
            "none": [],
            "batch": [nn.BatchNorm1d(out_dim)],
            "layer": [nn.LayerNorm(out_dim)],
        }
        dropout = [nn.Dropout(self.dropout)] if self.dropout else []
        return nn.Sequential(
            dense(in_dim, out_dim), *norms[self.norm], ACTIVATIONS[self.activation](), *dropout
        )
