"""Backbones give back what they were given, for any size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aetl.types import UserError
from tests.backbones import conv, mlp


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 33),
    st.integers(1, 33),
    st.sampled_from([3, 5]),
    st.integers(1, 3),
)
def test_conv_returns_every_size_exactly(c: int, h: int, w: int, kernel: int, depth: int) -> None:
    backbone = conv(*[4] * depth, kernel_size=kernel, activation="relu", norm="group")
    encoder, shape = backbone.encoder((c, h, w))
    x = torch.rand(2, c, h, w)
    hidden = encoder(x)
    assert hidden.shape[1:] == shape
    assert backbone.decoder((c, h, w), (5,))(torch.rand(2, 5)).shape == x.shape
    assert backbone.decoder((c, h, w), shape)(hidden).shape == x.shape


def test_mlp_takes_images_and_vectors() -> None:
    backbone = mlp(8, 6, activation="relu", norm="batch", dropout=0.1)
    for shape in ((3, 5, 7), (11,)):
        encoder, hidden = backbone.encoder(shape)
        assert hidden == (6,)
        assert backbone.decoder(shape, (2,))(torch.rand(4, 2)).shape == (4, *shape)
        assert encoder(torch.rand(4, *shape)).shape == (4, 6)


def test_conv_refuses_vectors_and_even_kernels() -> None:
    backbone = conv(4, activation="relu")
    with pytest.raises(UserError, match="backbone=mlp"):
        backbone.encoder((10,))
    with pytest.raises(UserError, match="kernel_size=4"):
        conv(4, kernel_size=4, activation="relu")
