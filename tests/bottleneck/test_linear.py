"""The dense bottleneck is an affine map, and an activation where one is asked for."""

from __future__ import annotations

import torch

from aetl.bottleneck.linear import Linear
from aetl.rng import Rng


def test_it_is_an_affine_map_of_the_flattened_input() -> None:
    bottleneck = Linear((2, 3), latent_dim=4, activation="none").double()
    h = torch.randn(5, 2, 3, dtype=torch.float64)
    weight, bias = (p.detach() for p in bottleneck.parameters())
    expected = torch.stack(
        [
            torch.stack([(w * row.flatten()).sum() + b for w, b in zip(weight, bias, strict=True)])
            for row in h
        ]
    )
    torch.testing.assert_close(bottleneck(h, None).latent.detach(), expected)
    assert bottleneck.latent_shape == (4,)


def test_an_activation_comes_last() -> None:
    bottleneck = Linear((6,), latent_dim=50, activation="relu")
    h = torch.randn(5, 6)
    latent = bottleneck(h, None).latent
    assert torch.equal(latent, bottleneck.project(h).clamp(min=0))
    assert (latent == 0).any()
    assert (latent > 0).any()


def test_it_draws_nothing() -> None:
    bottleneck = Linear((6,), latent_dim=3, activation="none")
    h = torch.randn(5, 6)
    assert torch.equal(bottleneck(h, Rng.of(0)).latent, bottleneck(h, None).latent)
