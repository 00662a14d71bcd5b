"""Strided and dilated convolutions along a sequence, and transposed ones for the way back."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Interval
from torch import nn

from aetl.backbone.base import ACTIVATIONS, Activation, Backbone, Shape, Sides
from aetl.backbone.feature_map import groups_of, refuse_kernel
from aetl.ranges import KernelSize, Probability, Size
from aetl.types import DoesNotFit, ExampleKind, UserError

PLACES = 64
"""What is left of a long sequence: a dense bottleneck has weights for each place and channel."""
Stride = Annotated[int, Interval(ge=1, le=64)] | Literal["auto"]


class Conv1d(Backbone):
    """One convolution for each of ``channels``, which divides the length by ``stride``, rounded up.

    The taps of the i-th (from 0) lie ``dilation ** i`` apart. Takes sequences ``C L`` of any length
    and number of channels, and vectors as sequences of one channel. ``stride=auto`` is the smallest
    one from 2 on that leaves at most ``PLACES`` places, and at most the kernel's size, beyond which
    values would be passed over.
    """

    kinds: ClassVar[frozenset[ExampleKind]] = frozenset({"series", "vector"})

    def __init__(
        self,
        *,
        channels: Sequence[Size],
        kernel_size: KernelSize,
        stride: Stride,
        dilation: Annotated[int, Interval(ge=1, le=8)],
        activation: Activation,
        norm: Literal["none", "batch", "group"],
        dropout: Probability,
        spectral_norm: Sides,
    ) -> None:
        if kernel_size % 2 == 0:
            raise UserError(f"backbone.kernel_size={kernel_size}: must be odd (3, 5, 7, ...)")
        self.channels, self.kernel_size = tuple(channels), kernel_size
        self.stride, self.dilation = stride, dilation
        self.activation, self.norm, self.dropout = activation, norm, dropout
        self.spectral_norm = spectral_norm

    def encoder(self, shape: Shape) -> tuple[nn.Sequential, Shape]:
        channels, lengths = self._lengths(shape)
        refuse_kernel(self.kernel_size, (channels, lengths[0]), small=1)
        inputs, stride = (channels, *self.channels), self._stride(shape[-1])
        blocks: list[nn.Module] = [
            nn.Sequential(nn.Conv1d(a, b, **self._taps(i, stride)), *self._after(b))
            for i, (a, b) in enumerate(zip(inputs, self.channels, strict=False))
        ]
        if len(shape) == 1:
            blocks.insert(0, nn.Unflatten(1, (1, shape[0])))
        return self.sided("encoder", nn.Sequential(*blocks)), (self.channels[-1], lengths[-1])

    def decoder(self, shape: Shape, latent_shape: Shape) -> nn.Sequential:
        channels, lengths = self._lengths(shape)
        smallest = (self.channels[-1], lengths[-1])
        start: list[nn.Module] = [nn.Flatten(), nn.Linear(prod(latent_shape), prod(smallest))]
        start += [nn.Unflatten(1, smallest), *self._after(smallest[0])]
        blocks: list[nn.Module] = [nn.Sequential(*start)]
        widths, stride = [*reversed(self.channels), channels], self._stride(shape[-1])
        for i, length in enumerate(reversed(lengths[:-1])):
            # 7 and 8 both became 4.
            rest = length - (stride * (lengths[-1 - i] - 1) + 1)
            taps = self._taps(len(self.channels) - 1 - i, stride)
            up = nn.ConvTranspose1d(widths[i], widths[i + 1], output_padding=rest, **taps)
            last = i == len(self.channels) - 1
            blocks.append(nn.Sequential(up, *([] if last else self._after(widths[i + 1]))))
        if len(shape) == 1:
            blocks.append(nn.Flatten())
        return self.sided("decoder", nn.Sequential(*blocks))

    def _lengths(self, shape: Shape) -> tuple[int, list[int]]:
        if len(shape) not in (1, 2):
            raise DoesNotFit(
                f"backbone=conv1d takes sequences and vectors, and this data has examples of "
                f"shape {shape}: use backbone=conv"
            )
        lengths = self._shrunk(shape[-1], self._stride(shape[-1]))
        return (1 if len(shape) == 1 else shape[0]), lengths

    def _shrunk(self, length: int, stride: int) -> list[int]:
        """The length before each layer and after the last."""
        lengths = [length]
        for _ in self.channels:
            lengths.append(-(-lengths[-1] // stride))
        return lengths

    def _stride(self, length: int) -> int:
        if self.stride != "auto":
            return self.stride
        most = max(2, self.kernel_size)
        enough = (s for s in range(2, most) if self._shrunk(length, s)[-1] <= PLACES)
        return next(enough, most)

    def _taps(self, layer: int, stride: int) -> dict[str, Any]:
        """The kernel of a layer, padded so that the stride alone changes the length."""
        apart = self.dilation**layer
        reach = apart * (self.kernel_size // 2)
        return {"kernel_size": self.kernel_size, "stride": stride, "padding": reach,
                "dilation": apart}  # fmt: skip

    def _after(self, width: int) -> list[nn.Module]:
        norms: dict[str, list[nn.Module]] = {
            "none": [],
            "batch": [nn.BatchNorm1d(width)],
            "group": [nn.GroupNorm(groups_of(width), width)],
        }
        dropout = [nn.Dropout1d(self.dropout)] if self.dropout else []
        return [*norms[self.norm], ACTIVATIONS[self.activation](), *dropout]
