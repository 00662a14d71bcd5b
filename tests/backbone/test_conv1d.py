"""Sequences of every length come back, vectors too."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aetl.backbone.conv1d import Conv1d
from aetl.types import UserError
from tests.backbone.build import backbone


def conv1d(depth: int = 2, stride: int = 2, dilation: int = 1) -> Conv1d:
    return Conv1d(
        channels=[4] * depth,
        kernel_size=3,
        stride=stride,
        dilation=dilation,
        activation="relu",
        norm="none",
        dropout=0.0,
        spectral_norm="none",
    )


@settings(max_examples=25, deadline=None)
@given(
    st.one_of(st.none(), st.integers(1, 3)), st.integers(2, 40), st.integers(1, 3),
    st.integers(1, 4), st.integers(1, 3),
)  # fmt: skip
def test_every_length_comes_back_exactly(
    channels: int | None, length: int, depth: int, stride: int, dilation: int
) -> None:
    shape = (length,) if channels is None else (channels, length)
    backbone = conv1d(depth, stride, dilation)
    encoder, hidden_shape = backbone.encoder(shape)
    x = torch.rand(2, *shape)
    hidden = encoder(x)
    assert hidden.shape[1:] == hidden_shape
    assert backbone.decoder(shape, (5,))(torch.rand(2, 5)).shape == x.shape
    assert backbone.decoder(shape, hidden_shape)(hidden).shape == x.shape


def test_a_shift_by_two_shifts_the_first_features_by_one() -> None:
    encoder, _ = conv1d(1).encoder((1, 16))
    x = torch.zeros(1, 1, 16)
    x[0, 0, 6:9] = torch.randn(3)
    torch.testing.assert_close(encoder(x.roll(2, 2))[..., 2:7], encoder(x)[..., 1:6])


def test_images_are_refused() -> None:
    with pytest.raises(UserError, match="backbone=conv"):
        conv1d().encoder((1, 8, 8))


def test_dilated_layers_see_as_far_as_their_taps_lie_apart() -> None:
    """Taps 1, 3 and 9 apart: 1 + 2 (1 + 3 + 9) moments, and no other."""
    encoder, _ = conv1d(3, stride=1, dilation=3).encoder((1, 61))
    for layer in encoder.modules():
        if isinstance(layer, torch.nn.Conv1d):
            torch.nn.init.constant_(layer.weight, 0.1)
            torch.nn.init.constant_(layer.bias, 0.1)
    x = torch.zeros(1, 1, 61, requires_grad=True)
    encoder(x)[0, 0, 30].backward()
    assert x.grad is not None
    assert x.grad[0, 0].nonzero()[:, 0].tolist() == list(range(17, 44))


@pytest.mark.parametrize(
    "length, stride, places", [(8, 2, 2), (256, 2, 64), (257, 3, 29), (4800, 5, 192)]
)
def test_long_sequences_have_larger_strides(length: int, stride: int, places: int) -> None:
    made = backbone("conv1d", kernel_size=5, norm="none")
    encoder, hidden = made.encoder((1, length))
    assert encoder[0][0].stride == (stride,)
    assert hidden[1] == places
    x = torch.rand(1, 1, length)
    assert made.decoder((1, length), hidden)(encoder(x)).shape == x.shape
