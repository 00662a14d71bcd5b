"""Pooling backbones give back every size, and pool as max pooling does."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aetl.backbone.conv_pool import ConvPool
from aetl.types import UserError


def conv_pool(depth: int = 1, kernel_size: int = 3, upsample: str = "nearest") -> ConvPool:
    return ConvPool(
        channels=[4] * depth, kernel_size=kernel_size, activation="relu", norm="none",
        dropout=0.0, upsample=upsample,
    )  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 17),
    st.integers(1, 17),
    st.integers(1, 3),
    st.sampled_from(["nearest", "bilinear"]),
)
def test_every_size_comes_back_exactly(c: int, h: int, w: int, depth: int, upsample: str) -> None:
    backbone = conv_pool(depth, upsample=upsample)
    encoder, shape = backbone.encoder((c, h, w))
    x = torch.rand(2, c, h, w)
    hidden = encoder(x)
    assert hidden.shape[1:] == shape
    assert backbone.decoder((c, h, w), shape)(hidden).shape == x.shape
    assert backbone.decoder((c, h, w), (5,))(torch.rand(2, 5)).shape == x.shape


def test_each_output_is_the_largest_of_its_window_of_convolutions() -> None:
    encoder, _ = conv_pool().encoder((1, 5, 3))
    x = torch.randn(2, 1, 5, 3)
    convolved = encoder[0][0](x).relu()
    pooled = encoder(x)
    for i in range(3):
        for j in range(2):
            window = convolved[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            torch.testing.assert_close(pooled[:, :, i, j], window.amax((2, 3)))


def test_vectors_and_even_kernels_are_refused() -> None:
    with pytest.raises(UserError, match="backbone=mlp"):
        conv_pool().encoder((10,))
    with pytest.raises(UserError, match="kernel_size=4"):
        conv_pool(kernel_size=4)
