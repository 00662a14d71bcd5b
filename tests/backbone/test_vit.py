"""The transformer backbone: patches, sizes, and its mapping against a transformer by hand."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import gelu, layer_norm, linear, softmax

from aetl.backbone.vit import ViT, from_patches, patches
from aetl.types import UserError


def vit(patch_size: int | Literal["auto"] = 2, depth: int = 1) -> ViT:
    return ViT(
        patch_size=patch_size, dim=8, depth=depth, heads=2, decoder_dim=4, decoder_depth=1,
        dropout=0.0, mlp_ratio=4, activation="gelu", spectral_norm="none",
    )  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_every_size_comes_back_exactly(c: int, h: int, w: int, size: int) -> None:
    backbone, x = vit(size), torch.rand(2, c, h, w)
    encoder, shape = backbone.encoder((c, h, w))
    hidden = encoder(x)
    assert hidden.shape[1:] == shape
    assert backbone.decoder((c, h, w), shape)(hidden).shape == x.shape
    assert backbone.decoder((c, h, w), (5,))(torch.rand(2, 5)).shape == x.shape
    assert torch.equal(from_patches(patches(x, size), size, shape[1:], (c, h, w)), x)


def test_patches_are_cut_row_by_row() -> None:
    x = torch.rand(1, 3, 4, 6)
    cut = patches(x, 2)
    assert torch.equal(cut[0, 4], x[0, :, 2:4, 2:4].flatten())


@pytest.mark.parametrize(
    "side, size", [(1, 2), (8, 2), (16, 2), (17, 4), (28, 4), (32, 4), (33, 8), (64, 8), (224, 32)]
)
def test_the_smallest_patches_are_chosen_of_which_there_are_at_most_64(
    side: int, size: int
) -> None:
    backbone = vit("auto")
    encoder, shape = backbone.encoder((1, side, side))
    assert encoder[0].size == size
    assert shape[1] * shape[2] <= 64
    assert backbone.decoder((1, side, side), shape)(torch.rand(2, *shape)).shape[2:] == (side, side)


def test_a_block_is_attention_and_a_dense_network_each_behind_a_norm() -> None:
    encoder, _ = vit().encoder((1, 4, 4))
    encoder = encoder.double().eval()
    x = torch.rand(3, 1, 4, 4, dtype=torch.float64)
    tokens = encoder[0](x)
    block = encoder[1]
    attention = block.self_attn
    normed = layer_norm(tokens, (8,), block.norm1.weight, block.norm1.bias)
    q, k, v = linear(normed, attention.in_proj_weight, attention.in_proj_bias).chunk(3, 2)
    heads = []
    for i in (0, 4):
        scores = q[..., i : i + 4] @ k[..., i : i + 4].transpose(1, 2) / 4**0.5
        heads.append(softmax(scores, 2) @ v[..., i : i + 4])
    middle = tokens + attention.out_proj(torch.cat(heads, 2))
    normed = layer_norm(middle, (8,), block.norm2.weight, block.norm2.bias)
    after = middle + block.linear2(gelu(block.linear1(normed)))
    expected = encoder[2].norm(after).transpose(1, 2).view(3, 8, 2, 2)
    torch.testing.assert_close(encoder(x), expected)


def test_vectors_and_widths_that_heads_cannot_share_are_refused() -> None:
    with pytest.raises(UserError, match="backbone=mlp"):
        vit().encoder((10,))
    with pytest.raises(UserError, match="decoder_dim=5: must be a multiple of heads=2"):
        ViT(
            patch_size=2,
            dim=8,
            depth=1,
            heads=2,
            decoder_dim=5,
            decoder_depth=1,
            dropout=0.0,
            mlp_ratio=4,
            activation="gelu",
            spectral_norm="none",
        )
