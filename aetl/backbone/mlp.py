"""A multi-layer perceptron over the flattened input."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Literal

from torch import nn

from aetl.backbone.base import ACTIVATIONS, Activation, Backbone, Shape


class MLP(Backbone):
    """Dense layers of the widths ``hidden``; the decoder has them in reverse order."""

    def __init__(
        self,
        *,
        hidden: Sequence[int],
        activation: Activation,
        norm: Literal["none", "batch", "layer"],
        dropout: float,
    ) -> None:
        self.hidden = tuple(hidden)
        self.activation = activation
        self.norm = norm
        self.dropout = dropout

    def encoder(self, shape: Shape) -> tuple[nn.Sequential, Shape]:
        widths = (prod(shape), *self.hidden)
        blocks = [self._block(a, b) for a, b in pairwise(widths)]
        return nn.Sequential(nn.Flatten(), *blocks), (widths[-1],)

    def decoder(self, shape: Shape, latent_shape: Shape) -> nn.Sequential:
        widths = (prod(latent_shape), *reversed(self.hidden))
        blocks = [self._block(a, b) for a, b in pairwise(widths)]
        output = nn.Sequential(nn.Linear(widths[-1], prod(shape)), nn.Unflatten(1, shape))
        return nn.Sequential(nn.Flatten(), *blocks, output)

    def _block(self, in_dim: int, out_dim: int) -> nn.Sequential:
        norms: dict[str, list[nn.Module]] = {
            "none": [],
            "batch": [nn.BatchNorm1d(out_dim)],
            "layer": [nn.LayerNorm(out_dim)],
        }
        dropout = [nn.Dropout(self.dropout)] if self.dropout else []
        return nn.Sequential(
            nn.Linear(in_dim, out_dim), *norms[self.norm], ACTIVATIONS[self.activation](), *dropout
        )
