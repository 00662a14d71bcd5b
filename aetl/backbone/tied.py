"""Layers of a decoder that have the encoder's weights, transposed (Vincent et al., 2010, 2.2).

With tied weights a decoder learns nothing but its biases. Its layers are made without weights and
told whose they have once the encoder and the bottleneck are there.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, linear

from aetl.types import DoesNotFit


class Tied(nn.Module):
    """A layer that lacks its weight until ``tie`` names the layer that has it.

    ``weight_shape`` is that of the encoder's layer, which for a transposed layer is its own.
    """

    def __init__(self, weight_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.weight_shape = weight_shape
        self.bias = nn.Parameter(torch.zeros(weight_shape[1]))
        # In a tuple, where it is no submodule: the encoder alone owns, saves and trains it.
        self.source: tuple[nn.Module, ...] = ()

    def weight(self) -> Tensor:
        if not self.source:
            raise DoesNotFit("backbone.tied=true: this autoencoder does not tie its weights")
        found = self.source[0].weight
        assert isinstance(found, Tensor)
        return found


class TiedLinear(Tied):
    """``W^T h + b`` with the ``W`` of a dense layer."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__((in_dim, out_dim))

    def forward(self, h: Float[Tensor, "B I"]) -> Float[Tensor, "B O"]:
        return linear(h, self.weight().T, self.bias)


class TiedConvTranspose2d(Tied):
    """The transpose of a convolution, with a bias of its own."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int,
        padding: int,
        output_padding: tuple[int, int],
    ) -> None:
        super().__init__((in_channels, out_channels, kernel_size, kernel_size))
        self.stride, self.padding, self.output_padding = stride, padding, output_padding

    def forward(self, h: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K h w"]:
        return conv_transpose2d(
            h, self.weight(), self.bias, self.stride, self.padding, self.output_padding
        )


def tie(encoder: Iterable[nn.Module], decoder: nn.Module) -> None:
    """Give the decoder's tied layers the weights of the encoder's parts, the last one first.

    A part that maps its input by several layers side by side (mean and variance) gives its first
    one. Raises ``UserError`` where the shapes do not mirror each other.
    """
    wanting = [layer for layer in decoder.modules() if isinstance(layer, Tied)]
    if not wanting:
        return
    giving = [layer for part in encoder for layer in _weighted(part)]
    shapes = [tuple(_weight_of(layer).shape) for layer in reversed(giving)]
    for number, layer in enumerate(wanting):
        if shapes[number : number + 1] != [layer.weight_shape] or len(shapes) != len(wanting):
            raise DoesNotFit(
                f"backbone.tied=true: the decoder is no mirror of the encoder, whose weights are "
                f"{', '.join(map(str, shapes))} from the end, where the decoder needs "
                f"{', '.join(str(w.weight_shape) for w in wanting)}"
            )
        layer.source = (giving[-1 - number],)


def _weighted(part: nn.Module) -> list[nn.Module]:
    """The layers of a sequence that have weights; of anything else, a bottleneck, the first one."""
    found: list[nn.Module] = [
        layer for layer in part.modules() if isinstance(layer, nn.Linear | nn.Conv2d)
    ]
    return found if isinstance(part, nn.Sequential) else found[:1]


def _weight_of(layer: nn.Module) -> Tensor:
    assert isinstance(layer.weight, Tensor)
    return layer.weight
