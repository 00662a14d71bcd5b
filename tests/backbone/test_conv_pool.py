"""Pooling backbones give back every size, and pool as max pooling does."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aetl.autoencoder.composite import Composite
from aetl.backbone.conv_pool import ConvPool
from aetl.backbone.switches import Unpool
from aetl.bottleneck.linear import Linear
from aetl.corruption.none import NoCorruption
from aetl.types import UserError


def conv_pool(depth: int = 1, kernel_size: int = 3, upsample: str = "nearest") -> ConvPool:
    return ConvPool(
        channels=[4] * depth, kernel_size=kernel_size, activation="relu", norm="none",
        dropout=0.0, upsample=upsample, spectral_norm="none",
    )  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 17),
    st.integers(1, 17),
    st.integers(1, 3),
    st.sampled_from(["nearest", "bilinear", "switches"]),
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


def test_each_value_goes_back_to_where_the_maximum_was() -> None:
    """Against torch's own unpooling."""
    backbone = conv_pool(depth=2, upsample="switches")
    encoder, _ = backbone.encoder((1, 8, 12))
    x = torch.randn(2, 1, 8, 12)
    hidden, switches = encoder.with_switches(x)
    torch.testing.assert_close(hidden, encoder(x))
    below = encoder[0](x)
    inner = encoder[1][:-1](below)
    pooled, places = torch.nn.functional.max_pool2d(inner, 2, return_indices=True)
    expected = torch.nn.functional.max_unpool2d(pooled, places, 2)
    torch.testing.assert_close(Unpool((4, 6))(hidden, switches[1]), expected)
    assert torch.equal(expected[expected != 0].sort().values, pooled[pooled != 0].sort().values)


def test_without_switches_the_place_is_the_upper_left_one() -> None:
    h = torch.randn(2, 3, 2, 3)
    whole = Unpool((3, 5))(h, None)
    torch.testing.assert_close(whole[:, :, ::2, ::2], h)
    assert float(whole.abs().sum()) == pytest.approx(float(h.abs().sum()), rel=1e-5)


def test_an_autoencoder_with_switches_uses_the_encoders_and_decodes_latents_without() -> None:
    torch.manual_seed(0)
    model = Composite(
        (1, 7, 5),
        corruption=NoCorruption(),
        backbone=conv_pool(depth=2, upsample="switches"),
        bottleneck=lambda shape: Linear(shape, latent_dim=3, activation="none"),
    )
    x = torch.randn(4, 1, 7, 5)
    output = model(x)
    _, switches = model.encoder.with_switches(x)
    torch.testing.assert_close(output.reconstruction, model.decoder(output.latent, switches))
    alone = model.decode(output.latent)
    assert alone.shape == x.shape
    assert not torch.allclose(alone, output.reconstruction)


def test_vectors_and_even_kernels_are_refused() -> None:
    with pytest.raises(UserError, match="backbone=mlp"):
        conv_pool().encoder((10,))
    with pytest.raises(UserError, match="kernel_size=4"):
        conv_pool(kernel_size=4)
