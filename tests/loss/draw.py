"""Numbers and small models in float64 that the tests of the loss terms share."""

from __future__ import annotations

import torch
from torch import Tensor

from aetl.autoencoder.composite import Composite
from aetl.bottleneck.linear import Linear
from aetl.corruption.none import NoCorruption
from tests.backbones import mlp


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def small_autoencoder(*shape: int, latent_dim: int = 3) -> Composite:
    """A smooth autoencoder with one hidden layer, in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Composite(
            shape,
            corruption=NoCorruption(),
            backbone=mlp(7),
            bottleneck=lambda h: Linear(h, latent_dim=latent_dim, activation="sigmoid"),
        ).double()
