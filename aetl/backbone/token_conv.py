"""Embedded tokens under the convolutions of ``conv1d``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from annotated_types import Interval
from torch import nn

from aetl.backbone.base import Activation, Backbone, Shape, Sides
from aetl.backbone.conv1d import Conv1d, Stride
from aetl.backbone.embedding import Embedding, Logits, length_of
from aetl.ranges import KernelSize, Probability, Size
from aetl.types import Entries, ExampleKind


class TokenConv(Backbone):
    """A vector of ``dim`` numbers for each token, then convolutions along the text.

    What fills up a text is 0, as beyond its ends. The decoder gives the logits of every token of
    every place.
    """

    kinds: ClassVar[frozenset[ExampleKind]] = frozenset({"tokens"})

    def __init__(
        self,
        entries: Entries,
        *,
        dim: Size,
        channels: Sequence[Size],
        kernel_size: KernelSize,
        stride: Stride,
        dilation: Annotated[int, Interval(ge=1, le=8)],
        activation: Activation,
        norm: Literal["none", "batch", "group"],
        dropout: Probability,
        spectral_norm: Sides,
    ) -> None:
        self.entries, self.dim, self.spectral_norm = entries, dim, spectral_norm
        self.along = Conv1d(
            channels=channels, kernel_size=kernel_size, stride=stride, dilation=dilation,
            activation=activation, norm=norm, dropout=dropout, spectral_norm="none",
        )  # fmt: skip

    def encoder(self, shape: Shape) -> tuple[nn.Sequential, Shape]:
        length = length_of(shape, self.entries, "token_conv")
        blocks, hidden = self.along.encoder((self.dim, length))
        first = Embedding(self.entries.tokens, self.dim, channels_first=True)
        return self.sided("encoder", nn.Sequential(first, *blocks)), hidden

    def decoder(self, shape: Shape, latent_shape: Shape) -> nn.Sequential:
        length = length_of(shape, self.entries, "token_conv", outputs=True)
        blocks = self.along.decoder((self.dim, length), latent_shape)
        last = Logits(self.dim, self.entries.tokens, channels_first=True)
        return self.sided("decoder", nn.Sequential(*blocks, last))
